//! The stores that a test runs on.

use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use dspinlock::{Error, HashDSpinlock, Pool};
use dspinlock_testkit::Redis;
use tempfile::TempDir;

use super::logs;

/// A store for one test.
pub(crate) enum Store {
    Redis(Box<Redis>),
    Embedded(TempDir),
}

impl Store {
    /// Both kinds of store.
    pub(crate) fn each() -> [Self; 2] {
        [
            Self::Embedded(tempfile::tempdir().expect("a temporary folder")),
            Self::Redis(Box::new(Redis::start())),
        ]
    }

    /// Runs `test` on both kinds of store at the same time, because it mostly sleeps.
    pub(crate) fn on_each(test: impl Fn(Self) + Sync) {
        let test = &test;
        thread::scope(|scope| {
            for store in Self::each() {
                scope.spawn(move || test(store));
            }
        });
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Redis(server) => server.url(),
            Self::Embedded(folder) => format!("sqlite:{}/locks.db", folder.path().display()),
        }
    }
}

/// Initializes the global pool of this process with an embedded store in memory.
pub(crate) fn init_in_memory() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        dspinlock::init(Pool::open("sqlite::memory:").expect("a store in memory"))
            .expect("the global pool is initialized once");
    });
}

/// The connect timeout and the response timeout together, and a margin for a loaded machine.
const REFUSED_WITHIN: Duration = Duration::from_secs(10);

/// The error of the first acquire on the store at `url`.
pub(crate) fn first_error(url: &str) -> Error {
    logs::capture();
    let start = Instant::now();
    let error = Pool::open(url)
        .and_then(|pool| {
            HashDSpinlock::new("secret argument")
                .pool(&pool)
                .acquire_blocking()
        })
        .map(|_| ())
        .expect_err(url);
    assert!(start.elapsed() < REFUSED_WITHIN, "{url}: {:?}", start.elapsed());
    error
}
