//! The connections to one server process: *steps*, which carries every request that changes a record, and *heartbeats*, which
//! carries RENEW alone, so that a renewal never waits behind a payload. The background thread drives both. Callers drive the
//! *readers*, which carry reads. Callers without a reader read on the steps, one at a time, so that payloads delay no step; the
//! others meanwhile use a reader that the background drives.
//!
//! `reconnect` opens a group and replaces it as a whole: if one connection ends, all do.

use crate::rt::clock::Instant;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use super::connection::watchdog::TICK;
use super::connection::{Connection, Health};
use super::reader::{Endpoint, Readers, Server};
use super::timeouts::Timeouts;
use super::tracking::Watches;
use super::url::address::Address;
use crate::rt::background;

/// How often an idle group is checked.
const IDLE_TICK: Duration = Duration::from_secs(1);

pub(crate) struct Group {
    steps: Arc<Connection>,
    heartbeats: OnceLock<Arc<Connection>>,
    readers: Readers,
    /// For the one read that the steps may carry.
    steps_read: Semaphore,
    address: Address,
    timeouts: Timeouts,
}

impl Group {
    /// Connects on the current runtime. With `watches`, the server is asked to push changes to them.
    pub(crate) async fn open(
        address: Address,
        timeouts: Timeouts,
        watches: Option<Arc<Watches>>,
    ) -> Result<Arc<Self>, String> {
        let steps = Connection::open(&address, timeouts, watches).await?;
        Ok(Arc::new(Self {
            readers: Readers::new(endpoint(&address, timeouts, &steps)),
            steps,
            heartbeats: OnceLock::new(),
            steps_read: Semaphore::new(1),
            address,
            timeouts,
        }))
    }

    /// The connection for every step except RENEW.
    pub(crate) fn steps(&self) -> &Arc<Connection> {
        &self.steps
    }

    /// The connection for RENEW. Until it is open, that is the connection for steps.
    pub(crate) fn heartbeats(&self) -> &Arc<Connection> {
        self.heartbeats.get().unwrap_or(&self.steps)
    }

    pub(crate) fn needs_heartbeats(&self) -> bool {
        self.heartbeats.get().is_none() && self.steps.is_open()
    }

    /// Opens the connection for heartbeats. If it leads to another server process than the steps, the group is closed.
    pub(crate) async fn open_heartbeats(&self) {
        let address = self.address.pinned(self.steps.peer());
        let Ok(connection) = Connection::open(&address, self.timeouts, None).await else {
            return;
        };
        if connection.is_same_process(&self.steps) {
            let _ = self.heartbeats.set(connection);
        }
        if !self.steps.is_open() || self.heartbeats.get().is_none() {
            self.close();
        }
    }

    /// Held while the steps carry a read. `None` if they do already.
    pub(crate) fn reserve_read(&self) -> Option<SemaphorePermit<'_>> {
        self.steps_read.try_acquire().ok()
    }

    /// For reads that may overtake the steps.
    pub(crate) fn readers(&self) -> &Readers {
        &self.readers
    }

    fn connections(&self) -> impl Iterator<Item = &Arc<Connection>> {
        [&self.steps].into_iter().chain(self.heartbeats.get())
    }

    /// Whether requests may use this group.
    pub(crate) fn is_current(&self) -> bool {
        self.steps.is_current()
    }

    #[cfg(feature = "cluster")]
    pub(crate) fn is_open(&self) -> bool {
        self.steps.is_open()
    }

    /// Whether a reply is due on a connection that has been silent since the last tick.
    #[cfg(feature = "cluster")]
    pub(crate) fn is_silent(&self) -> bool {
        self.connections().any(|connection| connection.is_silent())
    }

    /// Resolves when the next [`tick`](Self::tick) is due. It does not keep the group open.
    pub(crate) fn next_tick(&self) -> impl Future<Output = ()> + Send + use<> {
        let steps = self.steps.woken();
        let readers = self.readers.started();
        let is_busy = self.readers.is_open() || self.connections().any(|connection| connection.is_busy());
        async move {
            if is_busy {
                return background::sleep(TICK).await;
            }
            tokio::select! {
                () = background::sleep(IDLE_TICK) => {}
                () = steps => {}
                () = readers => {}
            }
        }
    }

    /// Checks every connection. The worst state counts; a group with a dead connection is closed.
    pub(crate) fn tick(&self, now: Instant) -> Health {
        self.readers.tick(now);
        let health = self.connections().map(|connection| connection.tick(now)).max();
        let health = health.unwrap_or(Health::Good);
        if health == Health::Closed {
            self.close();
        }
        health
    }

    /// Resolves when the steps are closed.
    pub(crate) fn closed(&self) -> impl Future<Output = ()> + Send + use<> {
        self.steps.closed()
    }

    /// Requests in flight fail.
    pub(crate) fn close(&self) {
        self.connections().for_each(|connection| connection.close());
        self.readers.close();
    }
}

/// The readers connect to the peer of the steps, because the address may lead elsewhere by then.
fn endpoint(address: &Address, timeouts: Timeouts, steps: &Connection) -> Endpoint {
    let identity = steps.identity();
    let run_id = identity.as_ref().and_then(|identity| identity.process());
    let is_master = identity.as_ref().is_some_and(|identity| identity.is_master());
    Endpoint {
        address: address.pinned(steps.peer()),
        server: Server {
            run_id: run_id.map(Into::into),
            role: is_master.then(|| "master".into()),
        },
        timeouts,
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.close();
    }
}
