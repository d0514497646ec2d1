//! One connection, from its login to its end. `reconnect` opens it and replaces it; it never reconnects by itself.
//!
//! Modules, top first: `login`, `transport`, `dial`, `watchdog`, `identity`.

mod dial;
pub(crate) mod identity;
pub(crate) mod login;
pub(crate) mod transport;
mod watchdog;

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, Pipeline, PushInfo, RedisError, RedisResult, Value};
use tokio::task::AbortHandle;

use self::identity::ServerIdentity;
use self::login::{Login, Pushes, login};
use self::watchdog::{Action, Progress, SILENT_TICKS, Watchdog};
use super::client_name::client_name;
use super::timeouts::Timeouts;
use super::tracking::Watches;
use super::url::address::Address;
use super::wire::reply::{self, Answer, CommandError};
use super::wire::scripts;
use crate::error::StoreFailure;
use crate::protocol::timestamp::Minute;
use crate::rt::background;
use crate::rt::latch::Latch;
use crate::store::api::Failure;

/// How long a connection to a server that refuses writes is kept. The address may lead to another server by then.
const DEMOTED_FOR: Duration = Duration::from_millis(500);

/// A connection after its login, with the scripts loaded. The runtime that opened it drives it.
pub(crate) struct Connection {
    multiplexed: MultiplexedConnection,
    driver: AbortHandle,
    /// Closed when the driver ends, which wakes every request.
    closed: Arc<Latch>,
    bytes_read: Arc<AtomicU64>,
    in_flight: AtomicUsize,
    replies: AtomicU64,
    /// A reply is due, and no byte has arrived since the last tick of the watchdog.
    #[cfg(feature = "cluster")]
    silent: AtomicBool,
    /// The watchdog has closed the connection.
    timed_out: AtomicBool,
    response_timeout: Duration,
    /// The server pushes changes to this connection.
    tracking: AtomicBool,
    created_at: Instant,
    /// The server has refused a write because it is a replica.
    demoted: AtomicBool,
    /// Unset if the user may not run `INFO`.
    identity: OnceLock<ServerIdentity>,
}

impl Connection {
    /// Connects on the current runtime. With `watches`, the server is asked to push changes to them.
    pub(crate) async fn open(
        address: &Address,
        timeouts: Timeouts,
        watches: Option<Arc<Watches>>,
    ) -> Result<Arc<Self>, String> {
        let bytes_read = Arc::<AtomicU64>::default();
        let config = AsyncConnectionConfig::new().set_pipeline_buffer_size(1024);
        let pushes = watches
            .clone()
            .map(|watches| -> Pushes { Arc::new(move |push: PushInfo| watches.pushed(&push)) });
        let Login {
            connection: multiplexed,
            driver,
            resp,
            ..
        } = login(address, config, pushes, bytes_read.clone()).await?;
        let closed = Arc::new(Latch::new());
        let guard = DriverGuard {
            closed: closed.clone(),
            watches: watches.clone(),
        };
        let driver = tokio::spawn(async move {
            let _guard = guard;
            driver.await;
        });
        let connection = Self {
            multiplexed,
            driver: driver.abort_handle(),
            closed,
            bytes_read,
            in_flight: AtomicUsize::new(0),
            replies: AtomicU64::new(0),
            #[cfg(feature = "cluster")]
            silent: AtomicBool::new(false),
            timed_out: AtomicBool::new(false),
            response_timeout: timeouts.response,
            tracking: AtomicBool::new(false),
            created_at: Instant::now(),
            demoted: AtomicBool::new(false),
            identity: OnceLock::new(),
        };
        if let Some(watches) = &watches {
            // Changes before this connection were not pushed to it.
            watches.wake_all();
        }
        if resp.has_setup() {
            let watches = watches.filter(|_| resp.has_pushes());
            connection.prepare(watches.as_deref()).await;
        }
        let connection = Arc::new(connection);
        tokio::spawn(watch(Arc::downgrade(&connection)));
        Ok(connection)
    }

    /// Asks for the server's identity and loads the scripts, so that no call has to. If the user may not load scripts,
    /// steps fall back to `EVAL`. If the server refuses to push changes, waiting callers poll.
    async fn prepare(&self, watches: Option<&Watches>) {
        let mut setup = Pipeline::new();
        setup.cmd("INFO").arg("replication");
        setup.cmd("INFO").arg("server");
        setup.cmd("CLIENT").arg("SETNAME").arg(client_name());
        for script in scripts::all() {
            setup.cmd("SCRIPT").arg("LOAD").arg(script.text());
        }
        if watches.is_some() {
            // Not NOLOOP: a change by this connection may have been for a caller that no longer waits.
            setup.cmd("CLIENT").arg("TRACKING").arg("ON").arg("OPTIN");
        }
        let Ok(answers) = self.pipeline(setup).await else {
            return;
        };
        if let [replication, server, ..] = answers.as_slice()
            && let Some(identity) = ServerIdentity::parse(replication, Some(server))
        {
            let _ = self.identity.set(identity);
        }
        let Some(watches) = watches else {
            return;
        };
        match answers.last() {
            Some(Ok(_)) => self.tracking.store(true, Ordering::Relaxed),
            _ => watches.warn(),
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        !self.closed.is_set()
    }

    /// Whether requests may use this connection. A connection to a demoted server is replaced, unless it is so new that
    /// the address still leads to that server.
    pub(crate) fn is_current(&self) -> bool {
        self.is_open() && !(self.demoted.load(Ordering::Relaxed) && self.created_at.elapsed() > DEMOTED_FOR)
    }

    /// Whether the server pushes changes to this connection.
    pub(crate) fn is_tracking(&self) -> bool {
        self.tracking.load(Ordering::Relaxed)
    }

    /// Whether a reply is due and no byte has arrived since the last tick of the watchdog.
    #[cfg(feature = "cluster")]
    pub(crate) fn is_silent(&self) -> bool {
        self.silent.load(Ordering::Relaxed)
    }

    /// The current minute of the server's clock, by the local monotonic clock. Unknown if the user may not run `INFO`.
    pub(crate) fn server_minute(&self) -> Option<Minute> {
        Some(self.identity.get()?.clock?.minute(Instant::now()))
    }

    /// Unknown if the user may not run `INFO`.
    pub(crate) fn identity(&self) -> Option<&ServerIdentity> {
        self.identity.get()
    }

    /// Resolves when the connection is closed. The future does not keep the connection open.
    #[cfg(feature = "sentinel")]
    pub(crate) fn closed(&self) -> impl Future<Output = ()> + Send + use<> {
        let closed = self.closed.clone();
        async move { closed.wait().await }
    }

    /// Sends one command.
    pub(crate) async fn send(&self, command: &Cmd) -> Answer {
        let mut multiplexed = self.multiplexed.clone();
        let exchange = pin!(multiplexed.send_packed_command(command));
        let reply = self.call(exchange).await?;
        self.check(reply)
    }

    /// Sends commands in one round trip. Each has its own reply.
    pub(crate) async fn pipeline(&self, commands: Pipeline) -> Result<Vec<Answer>, CommandError> {
        let mut multiplexed = self.multiplexed.clone();
        let exchange = pin!(multiplexed.send_packed_commands(&commands, 0, commands.len()));
        let replies = self.call(exchange).await?;
        Ok(replies.into_iter().map(|reply| self.check(reply)).collect())
    }

    /// Waits for the reply or for the end of the connection, which [`watch`] closes when a reply is overdue. (A request
    /// future of the redis crate may hang forever if its driver ends.)
    async fn call<T>(&self, exchange: impl Future<Output = RedisResult<T>>) -> Result<T, CommandError> {
        let _in_flight = InFlight::enter(&self.in_flight);
        tokio::select! {
            biased;
            reply = exchange => {
                self.replies.fetch_add(1, Ordering::Relaxed);
                reply.map_err(|error| self.classify(&error))
            }
            () = self.closed.wait() => Err(self.lost()),
        }
    }

    fn lost(&self) -> CommandError {
        let timed_out = self.timed_out.load(Ordering::Relaxed);
        Failure::Unknown(if timed_out {
            StoreFailure::Timeout
        } else {
            StoreFailure::Disconnected
        })
        .into()
    }

    fn classify(&self, error: &RedisError) -> CommandError {
        if error.is_unrecoverable_error() || error.is_io_error() {
            self.close();
            return self.lost();
        }
        self.refused(error)
    }

    /// In a pipeline, a refusal arrives as a value.
    fn check(&self, reply: Value) -> Answer {
        match reply {
            Value::ServerError(error) => Err(self.refused(&RedisError::from(error))),
            other => Ok(other),
        }
    }

    fn refused(&self, error: &RedisError) -> CommandError {
        if error.code() == Some("READONLY") {
            self.demoted.store(true, Ordering::Relaxed);
        }
        reply::refused(error)
    }

    /// Requests in flight fail.
    pub(crate) fn close(&self) {
        self.closed.set();
        self.driver.abort();
    }

    fn progress(&self) -> Progress {
        Progress {
            bytes: self.bytes_read.load(Ordering::Relaxed),
            replies: self.replies.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.close();
    }
}

/// Dropped with the driver, also if its runtime shuts down.
struct DriverGuard {
    closed: Arc<Latch>,
    watches: Option<Arc<Watches>>,
}

impl Drop for DriverGuard {
    fn drop(&mut self) {
        self.closed.set();
        // Later changes are not pushed.
        if let Some(watches) = &self.watches {
            watches.wake_all();
        }
    }
}

struct InFlight<'a>(&'a AtomicUsize);

impl<'a> InFlight<'a> {
    fn enter(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Runs the watchdog of a connection, on the runtime that drives it: one timer for all requests.
async fn watch(connection: Weak<Connection>) {
    let Some(tick) = connection
        .upgrade()
        .map(|connection| connection.response_timeout / SILENT_TICKS)
    else {
        return;
    };
    let mut watchdog = Watchdog::default();
    loop {
        background::sleep(tick).await;
        let Some(connection) = connection.upgrade().filter(|connection| connection.is_open()) else {
            return;
        };
        let is_due = connection.in_flight.load(Ordering::Relaxed) > 0;
        let action = watchdog.tick(connection.progress(), is_due);
        #[cfg(feature = "cluster")]
        connection.silent.store(watchdog.is_silent(), Ordering::Relaxed);
        match action {
            Action::Nothing => {}
            Action::Close => {
                connection.timed_out.store(true, Ordering::Relaxed);
                connection.close();
            }
            Action::Ping => {
                tokio::spawn(async move {
                    let _ = connection.send(&redis::cmd("PING")).await;
                });
            }
        }
    }
}
