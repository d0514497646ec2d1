//! A pool whose store is one record. It executes the shipped `protocol::step` by the scheduler's clock.

#[path = "../../../dspinlock-runtime/src/pool/flight.rs"]
pub mod flight;
#[path = "../../../dspinlock-runtime/src/pool/near_cache.rs"]
pub mod near_cache;

use std::sync::Arc;

use crate::protocol::record::Record;
use crate::protocol::{self, Reply, Request};
use bytes::Bytes;
use shuttle::sync::Mutex;

use crate::clock::Instant;
use crate::error::Error;
use crate::key::Key;
use crate::pool::flight::Flights;

#[derive(Clone, Default)]
pub struct Pool {
    record: Arc<Mutex<Record>>,
    flights: Flights,
}

impl Pool {
    pub(crate) async fn send(&self, _: &Key, request: Request) -> Result<Reply, Error> {
        shuttle::future::yield_now().await;
        let reply = {
            let mut record = self.record.lock().expect("no step panics");
            let now = BEGIN + Instant::now().micros();
            let (after, reply) = protocol::step(std::mem::take(&mut record), now, &request);
            *record = after;
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

    /// This pool has no secret.
    pub(crate) fn sign(&self, _: &Key, _: &str, _: u64, payload: &Bytes) -> Bytes {
        payload.clone()
    }

    /// The current record.
    pub(crate) fn record(&self) -> Record {
        self.record.lock().expect("no step panics").clone()
    }

    /// No process forks.
    pub(crate) fn is_inherited(&self) -> bool {
        false
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.record, &other.record)
    }

    pub(crate) fn flights(&self) -> &Flights {
        &self.flights
    }
}

const BEGIN: u64 = 1_000_000;
