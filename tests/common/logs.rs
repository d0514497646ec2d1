//! Hears all that the library logs: whatever a test wants to stay private has the word `secret` in it.

use std::sync::{Mutex, Once};

use dspinlock::Error;
use log::{LevelFilter, Log, Metadata, Record};

pub(crate) const SECRET: &str = "secret";

struct Logger(Mutex<Vec<String>>);

static LOGGER: Logger = Logger(Mutex::new(Vec::new()));

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("dspinlock")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let line = format!("{} {}", record.level(), record.args());
            self.0.lock().expect("no logger panicked").push(line);
        }
    }

    fn flush(&self) {}
}

/// Listens from now on.
pub(crate) fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&LOGGER).expect("there is no other logger");
        log::set_max_level(LevelFilter::Trace);
    });
}

/// The lines so far.
pub(crate) fn lines() -> Vec<String> {
    LOGGER.0.lock().expect("no logger panicked").clone()
}

/// Whether something private is in the logs, or in this error.
pub(crate) fn leaks(error: Option<&Error>) -> bool {
    let mut texts = lines();
    texts.extend(error.map(|error| format!("{error} {error:?} {error:#?}")));
    texts.iter().any(|text| text.contains(SECRET))
}

/// What the test expects of an error, and that it tells nothing private.
#[track_caller]
pub(crate) fn expect(error: &Error, variant: &str) {
    assert_eq!(crate::common::worker::variant(error), variant, "{error}");
    assert!(!leaks(Some(error)), "{error:?} {:?}", lines());
}
