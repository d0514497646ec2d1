//! One file to which all processes append: a total order of what happened, without comparing clocks.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// A file of lines.
#[derive(Debug, Clone)]
pub struct Journal(PathBuf);

impl Journal {
    /// The journal at this path; the first note creates it.
    pub fn at(path: impl AsRef<Path>) -> Self {
        Self(path.as_ref().into())
    }

    /// Appends one line; a single write in append mode, so that lines of several processes never mix.
    pub fn note(&self, line: &str) {
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&self.0)
            .expect("the journal opens");
        file.write_all(format!("{line}\n").as_bytes())
            .expect("the journal takes a line");
    }

    /// All lines so far.
    pub fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        text.lines().map(Into::into).collect()
    }

    /// Where it is, for another process.
    pub fn path(&self) -> &Path {
        &self.0
    }
}
