//! Messages on standard error: those of the command, and the warnings of the library. Every subcommand uses them.

use std::fmt::Display;
use std::io::Write;

use log::{LevelFilter, Log, Metadata, Record};

/// Writes the warnings of the library to standard error.
pub(crate) fn init() {
    log::set_logger(&Stderr).expect("no other logger is set");
    log::set_max_level(LevelFilter::Warn);
}

/// Writes one line with the name of the command. A closed standard error is no error.
pub(crate) fn print(message: impl Display) {
    let _ = writeln!(std::io::stderr(), "dspinlock: {message}");
}

struct Stderr;

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= LevelFilter::Warn
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            print(record.args());
        }
    }

    fn flush(&self) {}
}
