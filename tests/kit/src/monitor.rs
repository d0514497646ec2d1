//! All writes to a server, as reported by its MONITOR command.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::thread;

use crate::{Redis, eventually};

/// Records every grant and every publish on a server until the server stops.
#[derive(Debug)]
pub struct Monitor {
    lines: Arc<Mutex<Vec<String>>>,
}

/// An entry as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    name: String,
    tag: String,
    fence: u64,
    has_value: bool,
}

impl Monitor {
    /// Records the commands of `server` from now on.
    pub fn of(server: &Redis) -> Self {
        let mut stream = UnixStream::connect(server.socket()).expect("the server accepts connections");
        stream
            .write_all(b"AUTH kit any\r\nMONITOR\r\n")
            .expect("the server accepts commands");
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let (recorded, mut reader) = (lines.clone(), BufReader::new(stream));
        thread::spawn(move || {
            let mut line = Vec::new();
            while let Ok(1..) = reader.read_until(b'\n', &mut line) {
                let text = String::from_utf8_lossy(&line).into_owned();
                recorded.lock().expect("no reader panicked").push(text);
                line.clear();
            }
        });
        eventually("MONITOR to start", || {
            let lines = lines.lock().expect("no reader panicked");
            (lines.iter().filter(|line| line.starts_with("+OK")).count() == 2).then_some(())
        });
        Self { lines }
    }

    /// Checks every key: each grant has a greater fence than the one before, and only the call of the last grant
    /// publishes, once. Returns the numbers of grants and of publishes.
    pub fn check(&self, server: &Redis) -> (usize, usize) {
        let end = format!(
            "end of log {}",
            self.lines.lock().expect("no reader panicked").len()
        );
        server.raw(&["ECHO", &end]);
        eventually("the end of the log", || {
            let lines = self.lines.lock().expect("no reader panicked");
            // A command may follow at once.
            lines.iter().rev().any(|line| line.contains(&end)).then_some(())
        });
        let mut keys: HashMap<String, (Entry, bool)> = HashMap::new();
        let (mut grants, mut publishes) = (0, 0);
        for entry in self.entries() {
            match keys.get(&entry.name) {
                Some((last, published)) if entry.fence == last.fence => {
                    assert_eq!(entry.tag, last.tag, "a publish by a call without the last grant");
                    assert!(!published, "the fence was published twice: {entry:?}");
                    publishes += 1;
                    keys.insert(entry.name.clone(), (entry, true));
                }
                before => {
                    let last = before.map_or(0, |(last, _)| last.fence);
                    assert!(
                        entry.fence > last,
                        "the fence does not grow after {last}: {entry:?}"
                    );
                    assert!(!entry.has_value, "a publish without a grant: {entry:?}");
                    grants += 1;
                    keys.insert(entry.name.clone(), (entry, false));
                }
            }
        }
        (grants, publishes)
    }

    fn entries(&self) -> Vec<Entry> {
        let lines = self.lines.lock().expect("no reader panicked");
        let next = lines.iter().skip(1).map(String::as_str).chain([""]);
        let is_written = |(line, next): (&String, &str)| {
            // The script of an ACQUIRE reads the key if its `SET … NX` was refused.
            let is_refused = line.contains("\"NX\"") && next.contains(" lua] \"GETRANGE\"");
            Entry::parse(line).filter(|_| !is_refused)
        };
        lines.iter().zip(next).filter_map(is_written).collect()
    }
}

impl Entry {
    /// `<time> [0 lua] "SET" "<name>" "B<tag><fence>…" …`, or a state of a shared key.
    fn parse(line: &str) -> Option<Self> {
        // Only the commands of a script count: its request may contain the same text.
        let mut words = line.split_once(" lua] \"SET\" \"")?.1.split("\" \"");
        let (name, entry) = (words.next()?, words.next()?);
        let (kind, tag, fence) = match entry.split_once('.') {
            Some((tag, rest)) if tag.len() == 16 => {
                let kind = if entry.trim_end_matches('"').ends_with(",0") {
                    "B"
                } else {
                    "V"
                };
                (kind, tag, rest.get(..16)?)
            }
            _ => (entry.get(..1)?, entry.get(1..17)?, entry.get(17..33)?),
        };
        Some(Self {
            name: name.into(),
            tag: tag.into(),
            fence: fence.parse().ok()?,
            has_value: kind != "B",
        })
    }
}
