//! The connections to one server process: *steps*, which carries every request that changes a record, and *heartbeats*, which
//! carries RENEW alone, so that a renewal never waits behind a payload. The background thread drives both. Callers drive the
//! *readers*, which carry reads. Callers without a reader read on the steps, one at a time, so that payloads delay no step; the
//! others meanwhile use a reader that the background drives.
//!
//! `reconnect` opens a group and replaces it as a whole: if one connection ends, all do.

use crate::rt::clock::Instant;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit, SetOnce};

use super::client_name::Purpose;
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
    heartbeats: Arc<SetOnce<Arc<Connection>>>,
    readers: Readers,
    /// For the one read that the steps may carry.
    steps_read: Semaphore,
    address: Address,
    timeouts: Timeouts,
}

impl Group {
    /// Connects on the current runtime. With `watches`, the server is asked to push changes to them; without, the group is for
    /// steps that wait for replicas.
    pub(crate) async fn open(
        address: Address,
        timeouts: Timeouts,
        watches: Option<Arc<Watches>>,
    ) -> Result<Arc<Self>, String> {
        let purpose = if watches.is_some() {
            Purpose::Steps
        } else {
            Purpose::Replicas
        };
        let steps = Connection::open(&address, timeouts, purpose, watches).await?;
        // The readers connect to the peer of the steps, because the address may lead elsewhere by then.
        let readers = Readers::new(Endpoint {
            address: address.pinned(steps.peer()),
            server: OnceLock::new(),
            timeouts,
        });
        let group = Self {
            steps,
            heartbeats: Arc::default(),
            readers,
            steps_read: Semaphore::new(1),
            address,
            timeouts,
        };
        group.identify_readers();
        Ok(Arc::new(group))
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
        let Ok(connection) = Connection::open(&address, self.timeouts, Purpose::Heartbeats, None).await
        else {
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
        let is_busy = self.readers.is_open() || self.connections().any(|connection| connection.is_busy());
        let steps = self.steps.woken();
        let readers = self.readers.started();
        let heartbeats = self.heartbeats_woken();
        async move {
            if is_busy {
                return background::sleep(TICK).await;
            }
            tokio::select! {
                () = background::sleep(IDLE_TICK) => {}
                () = steps => {}
                () = heartbeats => {}
                () = readers => {}
            }
        }
    }

    /// Resolves when the connection for heartbeats is opened or closed, or a request is sent on it while none is in flight.
    fn heartbeats_woken(&self) -> impl Future<Output = ()> + Send + use<> {
        let open = self.heartbeats.get().map(|open| (open.woken(), open.closed()));
        let heartbeats = self.heartbeats.clone();
        async move {
            match open {
                None => drop(heartbeats.wait().await),
                Some((woken, closed)) => tokio::select! {
                    () = woken => {}
                    () = closed => {}
                },
            }
        }
    }

    /// Checks every connection. The worst state counts; a group with a dead connection is closed.
    pub(crate) fn tick(&self, now: Instant) -> Health {
        self.identify_readers();
        self.readers.tick(now);
        let health = self.connections().map(|connection| connection.tick(now)).max();
        let health = health.unwrap_or(Health::Good);
        if health == Health::Closed || !self.is_one_process() {
            self.close();
            return Health::Closed;
        }
        health
    }

    /// Whether both connections lead to one server process. A connection may learn its process later.
    fn is_one_process(&self) -> bool {
        let heartbeats = self.heartbeats.get();
        heartbeats.is_none_or(|heartbeats| heartbeats.is_same_process(&self.steps))
    }

    fn identify_readers(&self) {
        if let Some(identity) = self.steps.identity() {
            self.readers.identify(|| Server {
                run_id: identity.process().map(Into::into),
                role: identity.is_master().then(|| "master".into()),
            });
        }
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

impl Drop for Group {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use dspinlock_testkit::{Redis, TEST_TIMEOUT};
    use redis::RedisConnectionInfo;

    use super::*;

    async fn open(server: &Redis) -> Arc<Group> {
        background::start().expect("the background thread");
        let login = RedisConnectionInfo::default();
        let address = Address::tcp("127.0.0.1", server.port(), None, login).expect("no TLS");
        Group::open(address, Timeouts::default(), None)
            .await
            .expect("a group")
    }

    /// Waits until nothing is left of the requests that opened the connections.
    async fn quiet(group: &Group) {
        while tokio::time::timeout(IDLE_TICK / 2, group.next_tick())
            .await
            .is_ok()
        {}
    }

    #[tokio::test]
    async fn a_request_or_the_end_of_the_heartbeats_wakes_an_idle_group() {
        let server = Redis::start();
        let group = open(&server).await;
        group.open_heartbeats().await;
        quiet(&group).await;
        let heartbeats = group.heartbeats();
        assert!(!Arc::ptr_eq(heartbeats, group.steps()));
        let tick = group.next_tick();
        assert!(heartbeats.send(&redis::cmd("PING"), Instant::now()).await.is_ok());
        let start = Instant::now();
        tick.await;
        assert!(start.elapsed() < IDLE_TICK / 2, "{:?}", start.elapsed());
        let tick = group.next_tick();
        heartbeats.close();
        let start = Instant::now();
        tick.await;
        assert!(start.elapsed() < IDLE_TICK / 2, "{:?}", start.elapsed());
        assert_eq!(group.tick(Instant::now()), Health::Closed);
    }

    /// The driver's task runs on the runtime of this test, so it does nothing until the test awaits.
    #[tokio::test]
    async fn a_caller_writes_its_request_itself() {
        let server = Redis::start();
        let group = open(&server).await;
        quiet(&group).await;
        let echo = redis::cmd("ECHO").arg("x").clone();
        let mut requests = [(); 2].map(|()| Box::pin(group.steps().send(&echo, Instant::now())));
        let mut context = Context::from_waker(Waker::noop());
        for (request, written) in requests.iter_mut().zip(1..) {
            assert!(request.as_mut().poll(&mut context).is_pending());
            let start = Instant::now();
            while server.command_count(Some("echo")) < written {
                assert!(start.elapsed() < TEST_TIMEOUT, "the request is not written");
            }
        }
        assert!(
            requests[0].as_mut().poll(&mut context).is_pending(),
            "a turn has read"
        );
        for request in requests {
            assert!(request.await.is_ok());
        }
    }

    #[tokio::test]
    async fn a_group_that_learns_its_server_later_checks_its_connections_again() {
        let server = Redis::start();
        server.raw(&["ACL", "SETUSER", "default", "-info"]);
        let group = open(&server).await;
        let read = || group.readers().read("none", 1);
        let start = Instant::now();
        while read().is_none() {
            assert!(start.elapsed() < TEST_TIMEOUT, "no reader");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        server.raw(&["ACL", "SETUSER", "default", "+info"]);
        // The group asks again after ten seconds.
        group.tick(Instant::now() + Duration::from_secs(11));
        while group.steps().identity().is_none() {
            assert!(start.elapsed() < TEST_TIMEOUT, "no identity");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(read().is_some(), "the old reader is open until the next tick");
        group.tick(Instant::now());
        assert!(read().is_none());
    }
}
