//! The stores that every option is tested on.

use std::sync::LazyLock;

use dspinlock::{Pool, PoolBuilder};
use dspinlock_testkit::{Cluster, Redis};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    Redis,
    Cluster,
    Embedded,
}

static REDIS: LazyLock<Redis> = LazyLock::new(Redis::start);
static CLUSTER: LazyLock<Cluster> = LazyLock::new(Cluster::start);

impl Backend {
    pub(crate) const ALL: [Self; 3] = [Self::Redis, Self::Cluster, Self::Embedded];

    /// A pool with a namespace of this test. Keys of functions with a `name` are shared by all tests, so they need an argument
    /// that no other test has.
    pub(crate) fn pool(self, namespace: &str) -> Pool {
        self.builder(namespace).open().expect("a pool")
    }

    pub(crate) fn builder(self, namespace: &str) -> PoolBuilder {
        let url = match self {
            Self::Redis => REDIS.url(),
            Self::Cluster => CLUSTER.url(),
            Self::Embedded => "sqlite::memory:".into(),
        };
        Pool::builder(&url).namespace(namespace)
    }

    /// The first line of an entry on the Redis server.
    pub(crate) fn line(name: &str) -> String {
        let redis::Value::BulkString(entry) = REDIS.raw(&["GET", name]) else {
            panic!("{name} has an entry")
        };
        let text = String::from_utf8_lossy(&entry).into_owned();
        text.lines().next().unwrap_or_default().to_owned()
    }
}
