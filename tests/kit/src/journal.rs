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

/// Ends a line.
const END: char = '\u{4}';

impl Journal {
    /// The journal at this path. The first append creates the file.
    pub fn at(path: impl AsRef<Path>) -> Self {
        Self(path.as_ref().into())
    }

    /// The journal in this folder.
    pub fn in_folder(folder: impl AsRef<Path>) -> Self {
        Self::at(folder.as_ref().join("journal"))
    }

    /// Appends one line with a single write in append mode, so that the lines of several processes never mix. A process that is
    /// killed meanwhile may leave the beginning of its line: it has no end mark, and the next line begins behind it.
    pub fn append(&self, event: impl Display) {
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&self.0)
            .expect("the journal can be opened");
        file.write_all(format!("\n{} {event}{END}\n", now().as_micros()).as_bytes())
            .expect("the journal can be written");
    }

    /// Returns all whole lines so far.
    pub fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        text.lines()
            .filter_map(|line| line.strip_suffix(END))
            .map(Into::into)
            .collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_a_line_of_a_killed_process_is_left_out() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let journal = Journal::in_folder(&folder);
        journal.append("first");
        let mut file = OpenOptions::new()
            .append(true)
            .open(journal.path())
            .expect("the file");
        file.write_all(b"\n12 tor").expect("written");
        journal.append("last");
        let lines = journal.lines();
        let ends: Vec<_> = lines.iter().filter_map(|line| line.split(' ').nth(1)).collect();
        assert_eq!(ends, ["first", "last"]);
    }
}
