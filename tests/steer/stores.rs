//! The stores that every option is tested on. The tests of this program share their servers, which end with the last test.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use dspinlock::{Pool, PoolBuilder};
use dspinlock_testkit::{Cluster, Redis};

/// Where a cell of the table runs.
pub(crate) enum Backend {
    Redis(Arc<Redis>),
    Cluster(Arc<Cluster>),
    Embedded,
}

/// The server that another test holds, or a new one.
fn shared<T>(server: &Mutex<Weak<T>>, start: fn() -> T) -> Arc<T> {
    let mut server = server.lock().unwrap_or_else(PoisonError::into_inner);
    server.upgrade().unwrap_or_else(|| {
        let started = Arc::new(start());
        *server = Arc::downgrade(&started);
        started
    })
}

impl Backend {
    pub(crate) fn all() -> [Self; 3] {
        static CLUSTER: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
        [
            Self::redis(),
            Self::Cluster(shared(&CLUSTER, Cluster::start)),
            Self::Embedded,
        ]
    }

    pub(crate) fn redis() -> Self {
        static REDIS: Mutex<Weak<Redis>> = Mutex::new(Weak::new());
        Self::Redis(shared(&REDIS, Redis::start))
    }

    /// Whether two pools share nothing, because each has its store in memory.
    pub(crate) fn is_embedded(&self) -> bool {
        matches!(self, Self::Embedded)
    }

    /// A pool with a namespace of this test. Keys of functions with a `name` are shared by all tests, so they need an argument
    /// that no other test has.
    pub(crate) fn pool(&self, namespace: &str) -> Pool {
        self.builder(namespace).open().expect("a pool")
    }

    pub(crate) fn builder(&self, namespace: &str) -> PoolBuilder {
        let url = self.url().unwrap_or_else(|| "sqlite::memory:".into());
        Pool::builder(&url).namespace(namespace)
    }

    /// The URL of the server. `None` for the embedded store.
    pub(crate) fn url(&self) -> Option<String> {
        match self {
            Self::Redis(server) => Some(server.url()),
            Self::Cluster(cluster) => Some(cluster.url()),
            Self::Embedded => None,
        }
    }

    /// Two pools of one store. Their calls share no flight, as those of two processes, unless the store is embedded.
    pub(crate) fn pools(&self, test: &str) -> [Pool; 2] {
        let namespace = format!("{test} {}", fastrand::u64(..));
        let first = self.pool(&namespace);
        match self.is_embedded() {
            true => [first.clone(), first],
            false => [first, self.pool(&namespace)],
        }
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Redis(_) => "Redis",
            Self::Cluster(_) => "cluster",
            Self::Embedded => "embedded",
        })
    }
}
