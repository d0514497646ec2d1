//! One file to which all processes append: a total order of what happened, without comparing clocks.

use std::fmt::Display;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A file of lines, each with the moment of its note before it.
#[derive(Debug, Clone)]
pub struct Journal(PathBuf);

impl Journal {
    /// The journal at this path; the first note creates it.
    pub fn at(path: impl AsRef<Path>) -> Self {
        Self(path.as_ref().into())
    }

    /// The journal in this folder.
    pub fn within(folder: impl AsRef<Path>) -> Self {
        Self::at(folder.as_ref().join("journal"))
    }

    /// Appends one line; a single write in append mode, so that lines of several processes never mix.
    pub fn note(&self, what: impl Display) {
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&self.0)
            .expect("the journal opens");
        file.write_all(format!("{} {what}\n", now().as_micros()).as_bytes())
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

/// The machine's monotonic clock: one for all processes, which nobody sets.
fn now() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
}
