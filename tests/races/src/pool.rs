//! A pool whose store is one entry. It executes the shipped `protocol::apply` by the scheduler's clock.

#[path = "../../../dspinlock-runtime/src/pool"]
mod shipped {
    pub mod closing;
    pub mod flight;
    pub mod near_cache;
}

use std::sync::Arc;
use std::time::Duration;

use crate::protocol::record::Entry;
use crate::protocol::{self, Publish, Reply, Request};
use shuttle::sync::Mutex;

pub use self::shipped::{closing, flight, near_cache};
use crate::clock::Instant;
use crate::error::Error;
use crate::key::Key;
use crate::pool::closing::Closing;
use crate::pool::flight::Flights;
use crate::rt::timers::Timers;

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pool")
    }
}

#[derive(Clone, Default)]
pub struct Pool {
    entry: Arc<Mutex<Entry>>,
    flights: Flights,
    closing: Arc<Closing>,
}

impl Pool {
    /// For the unit tests of the shipped files, which are compiled here too.
    #[cfg(test)]
    pub(crate) fn open(_: &str) -> Result<Self, Error> {
        Ok(Self::default())
    }

    pub(crate) async fn send(&self, key: &Key, request: Request) -> Result<Reply, Error> {
        shuttle::future::yield_now().await;
        let reply = {
            let mut entry = self.entry.lock().expect("no step panics");
            let now = BEGIN + Instant::now().micros();
            let before = std::mem::take(&mut *entry).at(now);
            let (after, reply) = protocol::apply(key, &before, now, &request);
            *entry = after.unwrap_or(before);
            reply
        };
        shuttle::future::yield_now().await;
        Ok(reply)
    }

    /// No connection is lost.
    pub(crate) async fn send_noting(
        &self,
        key: &Key,
        request: Request,
        _: &mut bool,
    ) -> Result<Reply, Error> {
        self.send(key, request).await
    }

    /// So a lock is handed on.
    pub(crate) fn pushes(&self, _: &Key) -> bool {
        true
    }

    /// This pool has no secret.
    pub(crate) fn sign(&self, _: &Key, _: &mut Publish) {}

    /// The current entry.
    pub(crate) fn entry(&self) -> Entry {
        self.entry.lock().expect("no step panics").clone()
    }

    /// The time until the entry expires.
    pub(crate) fn remaining(&self) -> Duration {
        let now = (BEGIN + Instant::now().micros()) / 1000;
        match self.entry() {
            Entry::Bytes { until, .. } => Duration::from_millis(until.map_or(u64::MAX, |until| until - now)),
            _ => Duration::ZERO,
        }
    }

    /// No process forks.
    pub(crate) fn is_inherited(&self) -> bool {
        false
    }

    pub(crate) fn own(self) -> Result<Self, Error> {
        Ok(self)
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.entry, &other.entry)
    }

    pub(crate) fn closing(&self) -> &Closing {
        &self.closing
    }

    pub(crate) fn timers(&self) -> &Timers {
        &Timers
    }

    pub(crate) fn flights(&self) -> Flights {
        self.flights.clone()
    }

    pub(crate) fn max_value_size(&self) -> usize {
        usize::MAX
    }
}

const BEGIN: u64 = 1_000_000;
