//! The stores that a test runs on.

use dspinlock_testkit::Redis;
use tempfile::TempDir;

/// A store of one test's own.
pub(crate) enum Store {
    Redis(Box<Redis>),
    Embedded(TempDir),
}

impl Store {
    /// One of each kind.
    pub(crate) fn each() -> [Self; 2] {
        [
            Self::Embedded(tempfile::tempdir().expect("a folder")),
            Self::Redis(Box::new(Redis::start())),
        ]
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Redis(server) => server.url(),
            Self::Embedded(folder) => format!("sqlite:{}/locks.db", folder.path().display()),
        }
    }
}
