//! The group of connections to a server that is opened with the first request, and again after each failure.
//!
//! `node` and `failover` send on it. A request is sent on one connection and fails with it; it is never sent twice here.
//!
//! ```text
//! Down ──request──▶ Connecting ──▶ Up ──closed, request──▶ Connecting
//!                       ├────────▶ Failed ──pause, request──▶ Connecting
//!                       └─panic──▶ Down
//! ```

use crate::rt::clock::Instant;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;

use super::connection::{Connection, Health};
use super::group::Group;
use super::timeouts::Timeouts;
use super::tracking::Watches;
use super::url::address::Address;
use crate::error::Error;
use crate::rt::background;
use crate::store::api::{Boxed, Failure};

/// The pause after a failed attempt to connect. It doubles with each failure.
const MIN_PAUSE: Duration = Duration::from_millis(20);
const MAX_PAUSE: Duration = Duration::from_millis(250);
/// The pause between two attempts to open the connection for heartbeats.
const RETRY_HEARTBEATS: Duration = Duration::from_secs(10);
/// How often a lasting outage is logged.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

const PANICKED: &str = "the attempt to connect panicked: see the message of the panic";

/// Starts the background thread, which every connection to `server` needs.
pub(crate) fn start_background(server: &impl fmt::Display) -> Result<(), Error> {
    background::start().map_err(|error| Error::RedisNotInitialized {
        address: server.to_string(),
        reason: format!("cannot start the background thread ({error}): raise the limits of the process"),
    })
}

/// Finds the server to connect to. Messages show its `Display`.
pub(crate) trait Locate: fmt::Display + Send + Sync + 'static {
    /// The current address of the server.
    fn locate(self: Arc<Self>, timeouts: Timeouts) -> Boxed<Result<Address, String>>;

    /// Checks a new connection to `address`, and closes it later if the server moves to another address.
    fn admit(self: Arc<Self>, connection: Arc<Connection>, address: Address) -> Boxed<Result<(), String>>;
}

/// A server at a fixed address.
impl Locate for Address {
    fn locate(self: Arc<Self>, _: Timeouts) -> Boxed<Result<Address, String>> {
        Box::pin(std::future::ready(Ok(Self::clone(&self))))
    }

    fn admit(self: Arc<Self>, _: Arc<Connection>, _: Address) -> Boxed<Result<(), String>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// The current connections to a server.
#[derive(Clone)]
pub(crate) struct Reconnecting(Arc<Inner>);

struct Inner {
    server: Arc<dyn Locate>,
    timeouts: Timeouts,
    watches: Option<Arc<Watches>>,
    state: watch::Sender<State>,
    outage: Mutex<Option<Outage>>,
}

enum State {
    Down,
    Connecting,
    Up(Arc<Group>),
    /// No attempt starts before the instant.
    Failed(Failure, Instant),
}

/// A time without a connection.
struct Outage {
    failures: u32,
    logged_at: Instant,
}

impl Reconnecting {
    /// With `watches`, the server is asked to push changes to them, and the group has a connection for heartbeats.
    pub(crate) fn new(server: Arc<dyn Locate>, timeouts: Timeouts, watches: Option<Arc<Watches>>) -> Self {
        Self(Arc::new(Inner {
            server,
            timeouts,
            watches,
            state: watch::Sender::new(State::Down),
            outage: Mutex::default(),
        }))
    }

    /// The group, if it is up.
    pub(crate) fn current(&self) -> Option<Arc<Group>> {
        match &*self.0.state.borrow() {
            State::Up(group) if group.is_current() => Some(group.clone()),
            _ => None,
        }
    }

    /// The group, if it is up; otherwise the outcome of the next attempt. A request that began at `since` waits for it until
    /// its time limit; the attempt goes on. Shortly after a failed attempt there is no other one: the result is its failure.
    pub(crate) async fn group(&self, since: Instant) -> Result<Arc<Group>, Failure> {
        if let Some(group) = self.current() {
            return Ok(group);
        }
        // Boxed, because the future of every step would have its size.
        Box::pin(async {
            tokio::select! {
                biased;
                outcome = self.next_attempt() => outcome,
                () = background::time_limit(self.0.timeouts.rest(since)) => {
                    Err(self.0.not_ready(no_answer(self.0.timeouts.response)))
                }
            }
        })
        .await
    }

    async fn next_attempt(&self) -> Result<Arc<Group>, Failure> {
        let mut states = self.0.state.subscribe();
        self.start_attempt();
        loop {
            match &*states.borrow_and_update() {
                State::Up(group) => return Ok(group.clone()),
                State::Failed(failure, _) => return Err(failure.clone()),
                // The attempt has panicked, for instance in a logger.
                State::Down => return Err(self.0.not_ready(PANICKED.into())),
                State::Connecting => {}
            }
            // `self` keeps the sender alive.
            let _ = states.changed().await;
        }
    }

    /// The address of the server, or what leads to it.
    #[cfg(feature = "inspect")]
    pub(crate) fn server(&self) -> String {
        self.0.server.to_string()
    }

    /// The connection for steps; see [`group`](Self::group).
    pub(crate) async fn connection(&self, since: Instant) -> Result<Arc<Connection>, Failure> {
        Ok(self.group(since).await?.steps().clone())
    }

    /// Whether a reply is due and the server is silent.
    #[cfg(feature = "cluster")]
    pub(crate) fn is_silent(&self) -> bool {
        matches!(&*self.0.state.borrow(), State::Up(group) if group.is_silent())
    }

    #[cfg(feature = "cluster")]
    pub(crate) fn is_up(&self) -> bool {
        matches!(&*self.0.state.borrow(), State::Up(group) if group.is_open())
    }

    /// Closes the current group. The next request opens another one.
    #[cfg(feature = "cluster")]
    pub(crate) fn close(&self) {
        if let State::Up(group) = &*self.0.state.borrow() {
            group.close();
        }
    }

    /// Starts an attempt unless one is running, or one has failed just now.
    fn start_attempt(&self) {
        // Dropped after the lock of the state: the end of a group wakes its requests, which may run any code.
        let mut old = None;
        let start = self.0.state.send_if_modified(|state| {
            let start = match state {
                State::Connecting => false,
                State::Up(group) => !group.is_current(),
                State::Down => true,
                State::Failed(_, until) => Instant::now() >= *until,
            };
            if start {
                old = Some(std::mem::replace(state, State::Connecting));
            }
            start
        });
        drop(old);
        if start {
            let inner = self.0.clone();
            background::spawn(async move {
                let mut attempt = Attempt {
                    inner: &inner,
                    outcome: None,
                };
                attempt.outcome = Some(match inner.connect().await {
                    Ok(group) => inner.up(group),
                    Err(reason) => inner.failed(reason),
                });
            });
        }
    }
}

/// A running attempt. Its drop ends the state `Connecting`, also after a panic.
struct Attempt<'a> {
    inner: &'a Inner,
    outcome: Option<State>,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let outcome = self.outcome.take().unwrap_or(State::Down);
        self.inner.state.send_replace(outcome);
    }
}

impl Inner {
    async fn connect(&self) -> Result<Arc<Group>, String> {
        let limit = self.timeouts.connect;
        let attempt = async {
            let address = self.server.clone().locate(self.timeouts).await?;
            let group = Group::open(address.clone(), self.timeouts, self.watches.clone()).await?;
            self.server.clone().admit(group.steps().clone(), address).await?;
            Ok(group)
        };
        tokio::select! {
            outcome = attempt => outcome,
            () = background::time_limit(limit) => {
                Err(no_answer(limit))
            }
        }
    }

    fn not_ready(&self, reason: String) -> Failure {
        Failure::NotReady {
            address: self.server.to_string(),
            reason,
        }
    }

    fn up(self: &Arc<Self>, group: Arc<Group>) -> State {
        if self.outage().take().is_some() {
            tracing::warn!(target: "dspinlock", "connected to `{}` again", self.server);
        }
        background::spawn(supervise(Arc::downgrade(self), Arc::downgrade(&group)));
        if self.watches.is_some() {
            background::spawn(open_heartbeats(Arc::downgrade(&group), self.timeouts.connect));
        }
        State::Up(group)
    }

    fn failed(&self, reason: String) -> State {
        let now = Instant::now();
        let mut outage = self.outage();
        let (failures, logged_at) = outage
            .as_ref()
            .map_or((0, None), |outage| (outage.failures, Some(outage.logged_at)));
        let logged_at = logged_at.filter(|at| now < *at + LOG_INTERVAL);
        *outage = Some(Outage {
            failures: failures.saturating_add(1),
            logged_at: logged_at.unwrap_or(now),
        });
        drop(outage);
        if logged_at.is_none() {
            tracing::warn!(target: "dspinlock", "cannot connect to `{}`: {reason}", self.server);
        }
        State::Failed(self.not_ready(reason), now + pause(failures))
    }

    fn outage(&self) -> std::sync::MutexGuard<'_, Option<Outage>> {
        self.outage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens another group beside one that may be dead, and closes that one if it succeeds.
    async fn replace(self: &Arc<Self>, doubtful: &Arc<Group>) {
        let Ok(group) = self.connect().await else {
            return;
        };
        let mut up = self.up(group);
        self.state.send_if_modified(|state| {
            let is_current = matches!(state, State::Up(current) if Arc::ptr_eq(current, doubtful));
            if is_current {
                std::mem::swap(state, &mut up);
            }
            is_current
        });
        doubtful.close();
    }
}

fn no_answer(limit: Duration) -> String {
    format!("no answer within {limit:?}: check the address and the network")
}

/// The pause after so many failures: random, so that processes do not connect at the same time.
fn pause(failures: u32) -> Duration {
    let pause = MAX_PAUSE.min(MIN_PAUSE * 2_u32.saturating_pow(failures.min(16)));
    // Any random byte will do, and tags have them.
    let random = uuid::Uuid::new_v4().as_bytes()[0];
    pause / 2 + pause / 2 * u32::from(random) / 255
}

/// Tries until the group has its connection for heartbeats, or is closed.
async fn open_heartbeats(group: Weak<Group>, limit: Duration) {
    while let Some(group) = group.upgrade().filter(|group| group.needs_heartbeats()) {
        tokio::select! {
            () = group.open_heartbeats() => {}
            () = background::time_limit(limit) => {}
        }
        let is_missing = group.needs_heartbeats();
        drop(group);
        if is_missing {
            background::sleep(RETRY_HEARTBEATS).await;
        }
    }
}

/// Checks a group until it is closed or replaced. Every connection of it then ends.
async fn supervise(owner: Weak<Inner>, group: Weak<Group>) {
    let Some(closed) = group.upgrade().map(|group| group.closed()) else {
        return;
    };
    tokio::pin!(closed);
    let mut was_replaced = false;
    loop {
        let Some(pause) = group.upgrade().map(|group| group.next_tick()) else {
            return;
        };
        tokio::select! {
            () = &mut closed => {}
            () = pause => {}
        }
        let Some(group) = group.upgrade() else { return };
        match group.tick(Instant::now()) {
            Health::Good => was_replaced = false,
            Health::Doubtful if was_replaced => {}
            Health::Doubtful => {
                was_replaced = true;
                if let Some(owner) = owner.upgrade() {
                    background::spawn(async move { owner.replace(&group).await });
                }
            }
            Health::Closed => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Wake};

    use dspinlock_testkit::Redis;
    use redis::RedisConnectionInfo;

    use super::*;
    use crate::rt::blocking::wait;

    /// A waker that uses the connections, as the end of a task may.
    struct Uses(Reconnecting);

    impl Wake for Uses {
        fn wake(self: Arc<Self>) {
            assert!(self.0.current().is_none());
        }
    }

    #[test]
    fn a_request_of_a_replaced_group_may_use_the_connections_when_it_is_woken() {
        let (done, is_done) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let server = Redis::start();
            let address = Address::tcp("127.0.0.1", server.port(), None, RedisConnectionInfo::default());
            let address = Arc::new(address.expect("no TLS"));
            start_background(&address).expect("the background thread");
            let reconnecting = Reconnecting::new(address, Timeouts::default(), None);
            let group = wait(reconnecting.group(Instant::now())).expect("a group");
            server.raw(&["REPLICAOF", "127.0.0.1", "1"]);
            let mut write = redis::cmd("SET");
            write.arg("key").arg("value");
            assert!(wait(group.steps().send(&write, Instant::now())).is_err());
            let closed = group.closed();
            drop(group);
            // A new connection to a replica is kept for half a second.
            std::thread::sleep(Duration::from_millis(700));
            let waker = Arc::new(Uses(reconnecting.clone())).into();
            let mut closed = pin!(closed);
            assert!(
                closed
                    .as_mut()
                    .poll(&mut Context::from_waker(&waker))
                    .is_pending()
            );
            assert!(wait(reconnecting.group(Instant::now())).is_ok());
            done.send(()).expect("the test waits");
        });
        is_done
            .recv_timeout(Duration::from_secs(20))
            .expect("no deadlock");
    }
}
