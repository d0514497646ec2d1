//! The operations of each side.

#![allow(
    clippy::redundant_closure,
    reason = "the macro of `cached` requires a closure"
)]

use std::sync::Arc;
use std::time::Duration;

use cached::macros::concurrent_cached;
use dspinlock::{Acquired, HashDSpinlock, Wait, dspinlock};
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use rslock::LockManager;

use crate::bare;
use crate::side::Side;

/// How long a value or a lock may stay.
const TTL: Duration = Duration::from_secs(600);

pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

pub(crate) fn text() -> String {
    "x".repeat(100)
}

/// A value that takes `milliseconds` to compute. `body` runs when it is computed.
#[dspinlock(key = id, cached_if_computed, ttl = "10m", wait = "1m")]
pub(crate) async fn ours(id: u64, milliseconds: u64, body: fn()) -> Result<String, Error> {
    compute(milliseconds, body).await;
    Ok(text())
}

/// The connection string is in `CACHED_REDIS_CONNECTION_STRING`.
#[concurrent_cached(
    redis = true,
    ttl_secs = 600,
    key = "u64",
    convert = { id },
    map_error = |error| Error::from(error)
)]
pub(crate) async fn theirs(id: u64, milliseconds: u64, body: fn()) -> Result<String, Error> {
    let _ = id;
    compute(milliseconds, body).await;
    Ok(text())
}

async fn compute(milliseconds: u64, body: fn()) {
    if milliseconds > 0 {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    }
    body();
}

/// The type of the work is not part of the key.
#[dspinlock(key = id, skip(F), wait = "1m")]
pub(crate) async fn locked<F: Future<Output = ()>>(id: u64, work: F) -> Result<(), Error> {
    work.await;
    Ok(())
}

/// The connections of this process.
#[derive(Clone)]
pub(crate) struct Sides {
    bare: MultiplexedConnection,
    /// The connection of the recipe around `rslock`, as `rslock` opens its own.
    recipe: MultiplexedConnection,
    manager: LockManager,
    moka: moka::future::Cache<u64, String>,
    script: Arc<redis::Script>,
}

impl Sides {
    pub(crate) async fn new(url: &str) -> Self {
        Self {
            bare: bare::multiplexed(url).await,
            recipe: bare::with_nagle(url).await,
            manager: LockManager::new(vec![url]),
            moka: moka::future::Cache::builder().time_to_live(TTL).build(),
            script: Arc::new(redis::Script::new(
                "return redis.call('SET', KEYS[1], ARGV[1], 'PX', 60000)",
            )),
        }
    }

    pub(crate) fn bare(&self) -> MultiplexedConnection {
        self.bare.clone()
    }

    /// A cached call. A bare hit is a GET.
    pub(crate) async fn value(&mut self, side: Side, id: u64, milliseconds: u64, body: fn()) {
        match side {
            Side::Dspinlock => drop(ours(id, milliseconds, body).await.expect("the call succeeds")),
            Side::Cached => drop(theirs(id, milliseconds, body).await.expect("the call succeeds")),
            Side::Rslock => self.recipe(id, milliseconds, body).await,
            Side::Moka => {
                let compute = async {
                    compute(milliseconds, body).await;
                    text()
                };
                drop(self.moka.get_with(id, compute).await);
            }
            Side::Explicit => panic!("a lock keeps no value"),
            Side::Bare => {
                let value = self.bare.get::<_, Option<String>>(bare::name(id as usize)).await;
                drop(value.expect("a reply to GET"));
            }
        }
    }

    /// A cache with a lock.
    async fn recipe(&mut self, id: u64, milliseconds: u64, body: fn()) {
        let name = format!("recipe:{id}");
        if self.stored(&name).await.is_some() {
            return;
        }
        let guard = self.acquire(id).await;
        if self.stored(&name).await.is_none() {
            compute(milliseconds, body).await;
            let set = self
                .recipe
                .pset_ex::<_, _, ()>(&name, text(), TTL.as_millis() as u64);
            set.await.expect("a reply to PSETEX");
        }
        guard.release().await;
    }

    async fn stored(&mut self, name: &str) -> Option<String> {
        self.recipe.get(name).await.expect("a reply to GET")
    }

    async fn acquire(&self, id: u64) -> rslock::LockGuard {
        let name = format!("lock:{id}");
        let guard = self.manager.acquire(name.as_str(), Duration::from_secs(15)).await;
        guard.expect("the lock is acquired")
    }

    /// Calls `work` under a lock.
    pub(crate) async fn lock(&self, side: Side, id: u64, work: impl Future<Output = ()>) {
        match side {
            Side::Dspinlock => locked(id, work).await.expect("the call succeeds"),
            Side::Explicit => {
                let lock = HashDSpinlock::new(id).wait(Wait::AtMost(Duration::from_secs(60)));
                let Ok(Acquired::Locked(lease)) = lock.acquire().await else {
                    panic!("the lock is not acquired");
                };
                work.await;
                lease.release().await.expect("the lease is not lost");
            }
            Side::Rslock => {
                let guard = self.acquire(id).await;
                work.await;
                guard.release().await;
            }
            Side::Cached | Side::Moka | Side::Bare => panic!("{} has no lock", side.name()),
        }
    }

    /// Scripts that write a key, as many as the round trips of a step.
    pub(crate) async fn scripts(&self, count: usize) {
        for _ in 0..count {
            let mut connection = self.bare.clone();
            let mut call = self.script.key(bare::name(0));
            let reply = call.arg("x").invoke_async::<()>(&mut connection).await;
            reply.expect("a reply to EVALSHA");
        }
    }
}
