//! A file that all processes append to: a total order of events, without comparing clocks.

use std::fmt::Display;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A file of lines. Each line begins with its time in microseconds.
#[derive(Debug, Clone)]
pub struct Journal(PathBuf);

impl Journal {
    /// The journal at this path. The first append creates the file.
    pub fn at(path: impl AsRef<Path>) -> Self {
        Self(path.as_ref().into())
    }

    /// The journal in this folder.
    pub fn in_folder(folder: impl AsRef<Path>) -> Self {
        Self::at(folder.as_ref().join("journal"))
    }

    /// Appends one line with a single write in append mode, so that the lines of several processes never mix.
    pub fn append(&self, event: impl Display) {
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&self.0)
            .expect("the journal can be opened");
        file.write_all(format!("{} {event}\n", now().as_micros()).as_bytes())
            .expect("the journal can be written");
    }

    /// Returns all lines so far.
    pub fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        text.lines().map(Into::into).collect()
    }

    /// The path, to pass to another process.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

/// The machine's monotonic clock: the same for all processes, and never set.
fn now() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
}
