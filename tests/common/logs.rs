//! Captures the log of the library. Everything that must stay private contains the word `secret`.

use std::sync::{Mutex, Once};

use dspinlock::Error;
use log::{Level, LevelFilter, Log, Metadata, Record};

pub(crate) const SECRET: &str = "secret";

/// The environment variable of a worker whose logger panics at each line, after it has captured the line.
pub(crate) const PANICS: &str = "DSPINLOCK_TEST_LOGGER_PANICS";

struct Logger(Mutex<Vec<String>>);

static LOGGER: Logger = Logger(Mutex::new(Vec::new()));

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("dspinlock")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let line = format!("{} {}", record.level(), record.args());
            self.0.lock().expect("the mutex is not poisoned").push(line);
            let panics = record.level() <= Level::Warn && std::env::var_os(PANICS).is_some();
            assert!(!panics, "requested");
        }
    }

    fn flush(&self) {}
}

/// Captures all lines from now on.
pub(crate) fn capture() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&LOGGER).expect("no other logger is set");
        log::set_max_level(LevelFilter::Trace);
    });
}

/// All lines so far.
pub(crate) fn lines() -> Vec<String> {
    LOGGER.0.lock().expect("the mutex is not poisoned").clone()
}

/// Whether the log or this error contains something private.
pub(crate) fn leaks(error: Option<&Error>) -> bool {
    let mut texts = lines();
    texts.extend(error.map(|error| format!("{error} {error:?} {error:#?}")));
    texts.iter().any(|text| text.contains(SECRET))
}

/// Checks the variant of an error, and that nothing private is in it or in the log.
#[track_caller]
pub(crate) fn assert_error(error: &Error, variant: &str) {
    assert_eq!(super::worker::variant(error), variant, "{error}");
    assert!(!leaks(Some(error)), "{error:?} {:?}", lines());
}
