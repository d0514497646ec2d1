//! What the checks of the table share: the stores, the body of every function, and its errors.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use dspinlock::{Entry, Error, Pool, Stored};
use dspinlock_testkit::{Redis, eventually};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::stores::Backend;

/// The `wait` of a call without `wait`.
pub(crate) const DEFAULT_WAIT: Duration = Duration::from_secs(30);

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// Where a check runs.
pub(crate) struct Cell {
    pub(crate) backend: Backend,
    /// Two pools of one store, without a namespace. Their calls share no flight, as those of two processes.
    pub(crate) pool: Pool,
    pub(crate) peer: Pool,
    /// A pool whose keys are others.
    pub(crate) elsewhere: Pool,
    /// A pool whose store cannot be asked.
    pub(crate) away: Pool,
    _folder: TempDir,
}

impl Cell {
    pub(crate) fn new(backend: Backend) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let open = |namespace: &str| match backend {
            Backend::Embedded => {
                let url = format!("sqlite:{}/locks.db", folder.path().display());
                Pool::builder(&url).namespace(namespace).open().expect("a pool")
            }
            _ => backend.pool(namespace),
        };
        let away = folder.path().join("away");
        let url = match backend {
            Backend::Redis(_) => "redis://127.0.0.1:1".into(),
            Backend::Cluster(_) => "redis+cluster://127.0.0.1:1".into(),
            Backend::Embedded => {
                fs::create_dir(&away).expect("a folder");
                format!("sqlite:{}/locks.db", away.display())
            }
        };
        let of_away = Pool::open(&url).expect("a pool");
        if backend.is_embedded() {
            // A pool opens its file again if it was deleted.
            fs::remove_dir_all(&away).expect("a folder");
            fs::write(&away, "").expect("a file");
        }
        Self {
            away: of_away,
            pool: open(""),
            peer: open(""),
            elsewhere: open("elsewhere"),
            backend,
            _folder: folder,
        }
    }

    /// A key that no other check has.
    pub(crate) fn id(&self) -> u64 {
        fastrand::u64(..)
    }

    pub(crate) fn body(&self) -> Body {
        Body::new(&self.pool)
    }

    /// The time since the last read of an entry, or `None` in the embedded store.
    pub(crate) fn idle_seconds(&self, name: &str) -> Option<u64> {
        let servers: &[Redis] = match &self.backend {
            Backend::Redis(server) => std::slice::from_ref(server),
            Backend::Cluster(cluster) => cluster.servers(),
            Backend::Embedded => return None,
        };
        let idle = |server: &Redis| server.try_raw(&["OBJECT", "IDLETIME", name]).ok();
        let reply = servers.iter().find_map(idle).expect("a server has the entry");
        Some(redis::from_redis_value(reply).expect("a number"))
    }
}

/// What every function of the table runs. Clones are the same body.
#[derive(Clone)]
pub(crate) struct Body {
    pub(crate) pool: Pool,
    runs: Arc<AtomicUsize>,
    /// Whether the first run waits.
    is_held: Arc<AtomicBool>,
    is_stopped: Arc<AtomicBool>,
}

/// The pause between two looks at a body.
const PAUSE: Duration = Duration::from_millis(2);

impl Body {
    pub(crate) fn new(pool: &Pool) -> Self {
        Self {
            pool: pool.clone(),
            runs: Arc::default(),
            is_held: Arc::default(),
            is_stopped: Arc::default(),
        }
    }

    /// Returns the number of the run.
    pub(crate) fn run(&self) -> usize {
        let run = self.runs.fetch_add(1, Ordering::SeqCst) + 1;
        while run == 1 && self.is_held.load(Ordering::SeqCst) {
            thread::sleep(PAUSE);
        }
        run
    }

    /// The same, and notes whether it was dropped before its end.
    pub(crate) async fn run_async(&self) -> usize {
        struct Running<'a>(&'a Body, bool);
        impl Drop for Running<'_> {
            fn drop(&mut self) {
                self.0.is_stopped.fetch_or(self.1, Ordering::SeqCst);
            }
        }
        let run = self.runs.fetch_add(1, Ordering::SeqCst) + 1;
        let mut running = Running(self, true);
        while run == 1 && self.is_held.load(Ordering::SeqCst) {
            tokio::time::sleep(PAUSE).await;
        }
        running.1 = false;
        run
    }

    pub(crate) fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }

    pub(crate) async fn started(&self) {
        while self.runs() == 0 {
            tokio::time::sleep(PAUSE).await;
        }
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::SeqCst)
    }

    pub(crate) fn hold(&self) {
        self.is_held.store(true, Ordering::SeqCst);
    }

    pub(crate) fn release(&self) {
        self.is_held.store(false, Ordering::SeqCst);
    }

    /// Runs `check` while the body of `call` runs.
    pub(crate) fn while_held<R: Send>(&self, call: impl FnOnce() -> R + Send, check: impl FnOnce()) {
        /// Also if `check` panics.
        struct Releases<'a>(&'a Body);
        impl Drop for Releases<'_> {
            fn drop(&mut self) {
                self.0.release();
            }
        }
        self.hold();
        thread::scope(|threads| {
            let held = threads.spawn(call);
            let _releases = Releases(self);
            eventually("the body", || {
                (self.runs() > 0 || held.is_finished()).then_some(())
            });
            check();
        });
    }
}

/// The error of some functions.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Failed {
    Body(usize),
    Lock(String),
    Mapped(String),
}

impl Failed {
    pub(crate) fn of_lock(error: Error) -> Self {
        Self::Mapped(error.to_string())
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Lock(error.to_string())
    }
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    // Each call makes one, so it has few threads.
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime")
}

#[track_caller]
pub(crate) fn ok<T>(outcome: Result<T, Error>) -> T {
    outcome.expect("a value")
}

#[track_caller]
pub(crate) fn peek<R>(entry: &Entry<R>) -> Stored<R> {
    entry.peek_blocking().expect("a reply").expect("a value")
}

/// How long a call has waited that has timed out.
#[track_caller]
pub(crate) fn timed_out<T: std::fmt::Debug>(outcome: Result<T, Error>) -> Duration {
    match outcome {
        Err(Error::SpinlockTriesExceeded { waited, .. }) => waited,
        other => panic!("{other:?}"),
    }
}
