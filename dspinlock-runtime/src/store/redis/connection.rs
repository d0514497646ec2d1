//! One connection, from its login to its end. The background thread drives it. It never reconnects by itself.
//!
//! `group` opens it and calls [`Connection::tick`].
//!
//! Modules, top first: `login`, `transport`, `budget`, `scanner`, `dial`, `driver`, `in_flight`, `watchdog`, `identity`, `turns`.

mod budget;
mod dial;
mod driver;
pub(crate) mod identity;
mod in_flight;
pub(crate) mod login;
mod scanner;
pub(crate) mod transport;
mod turns;
pub(crate) mod watchdog;

use std::future::poll_fn;
use std::mem::replace;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, Pipeline, RedisError, RedisResult, Value};
use tokio::task::AbortHandle;

use self::driver::Driver;
use self::identity::ServerIdentity;
use self::in_flight::{InFlight, NoReply};
use self::login::{Login, Pushes, login};
use self::transport::Traffic;
use self::watchdog::{Action, Progress, Watchdog};
use super::client_name::Purpose;
use super::resp::Resp;
use super::timeouts::Timeouts;
use super::tracking::Watches;
use super::url::address::Address;
use super::wire::reply::{self, Answer, CommandError};
use super::wire::scripts;
use crate::error::StoreFailure;
use crate::rt::background;
use crate::rt::clock::Instant;
use crate::store::api::Failure;

/// How long a connection to a server that refuses writes is kept. The address may lead to another server by then.
const DEMOTED_FOR: Duration = Duration::from_millis(500);

/// A connection that owes a reply for so long is silent.
#[cfg(feature = "cluster")]
const SILENT_FOR: Duration = Duration::from_secs(1);

/// A connection after its login, with the scripts loaded. The background thread drives it.
pub(crate) struct Connection {
    multiplexed: MultiplexedConnection,
    driver: Driver,
    task: AbortHandle,
    traffic: Arc<Traffic>,
    in_flight: InFlight,
    watchdog: Mutex<Watchdog>,
    /// The server pushes changes to them.
    watches: Option<Arc<Watches>>,
    resp: Resp,
    peer: Option<SocketAddr>,
    /// The watchdog has closed the connection.
    timed_out: AtomicBool,
    tracking: AtomicBool,
    created_at: Instant,
    /// The server has refused a write because it is a replica.
    demoted: AtomicBool,
    /// `None` until the server has answered `INFO`.
    identity: Mutex<Option<Arc<ServerIdentity>>>,
}

/// The state of a connection. A later one is worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Health {
    Good,
    /// A request follows a quiet time and is not answered: another connection may be better.
    Doubtful,
    Closed,
}

impl Connection {
    /// Connects on the current runtime. With `watches`, the server is asked to push changes to them.
    pub(crate) async fn open(
        address: &Address,
        timeouts: Timeouts,
        purpose: Purpose,
        watches: Option<Arc<Watches>>,
    ) -> Result<Arc<Self>, String> {
        let traffic = Arc::<Traffic>::default();
        let config = AsyncConnectionConfig::new().set_pipeline_buffer_size(1024);
        let pushes = watches.clone();
        let pushes = pushes.map(|watches| -> Pushes { Arc::new(move |push| watches.pushed(&push)) });
        let Login {
            connection: multiplexed,
            driver,
            resp,
            peer,
        } = login(address, config, pushes, traffic.clone(), purpose).await?;
        let in_flight = InFlight::new();
        let driver = Driver::new(driver, in_flight.clone(), traffic.clone());
        let task = tokio::spawn(driver.task(watches.clone()));
        let now = Instant::now();
        let connection = Self {
            multiplexed,
            driver,
            task: task.abort_handle(),
            traffic,
            in_flight,
            watchdog: Mutex::new(Watchdog::new(timeouts.response, now)),
            watches: watches.filter(|_| resp.has_pushes()),
            resp,
            peer,
            timed_out: AtomicBool::new(false),
            tracking: AtomicBool::new(false),
            created_at: now,
            demoted: AtomicBool::new(false),
            identity: Mutex::default(),
        };
        if let Some(watches) = &connection.watches {
            // Changes before this connection were not pushed to it.
            watches.wake_all();
        }
        connection.prepare(&address.name_for(purpose)).await;
        Ok(Arc::new(connection))
    }

    /// Loads the scripts, so that no call has to, and learns what it can. If the user may not load scripts, steps fall back
    /// to `EVAL`.
    async fn prepare(&self, name: &str) {
        let mut setup = self.questions();
        if self.resp.has_setup() {
            setup.cmd("CLIENT").arg("SETNAME").arg(name);
            for script in scripts::all() {
                setup.cmd("SCRIPT").arg("LOAD").arg(script.text());
            }
        }
        if let Ok(answers) = self.pipeline(setup, Instant::now()).await {
            self.learn(&answers);
        }
        if let Some(watches) = self.watches.as_ref().filter(|_| !self.is_tracking()) {
            watches.warn();
        }
    }

    /// Asks for the server's identity, and to push changes unless it does. If the server refuses, waiting callers poll.
    fn questions(&self) -> Pipeline {
        let mut questions = Pipeline::new();
        if !self.resp.has_setup() {
            questions.cmd("PING");
            return questions;
        }
        questions.cmd("INFO").arg("replication");
        questions.cmd("INFO").arg("server");
        if self.watches.is_some() && !self.is_tracking() {
            // Not NOLOOP: a change by this connection may have been for a caller that no longer waits.
            questions.cmd("CLIENT").arg("TRACKING").arg("ON").arg("OPTIN");
        }
        questions
    }

    /// Reads the answers to [`questions`](Self::questions). If the server is not the master any more, the connection closes.
    fn learn(&self, answers: &[Answer]) {
        let [replication, server, others @ ..] = answers else {
            return;
        };
        if let Some(identity) = ServerIdentity::parse(replication, Some(server)) {
            let mut known = lock(&self.identity);
            if known.as_ref().is_none_or(|known| known.may_become(&identity)) {
                *known = Some(Arc::new(identity));
            } else {
                drop(known);
                self.close();
            }
        }
        if let Some(watches) = &self.watches
            && matches!(others.first(), Some(Ok(_)))
            && !self.tracking.swap(true, Ordering::Relaxed)
        {
            // Earlier changes were not pushed.
            watches.wake_all();
        }
    }

    fn knows_all(&self) -> bool {
        if !self.resp.has_setup() {
            return true;
        }
        let knows_master = lock(&self.identity)
            .as_ref()
            .is_some_and(|identity| identity.is_master());
        knows_master && (self.watches.is_none() || self.is_tracking())
    }

    /// Checks the connection, and asks the server again for what is not known.
    pub(crate) fn tick(self: &Arc<Self>, now: Instant) -> Health {
        if !self.is_open() {
            return Health::Closed;
        }
        let progress = self.progress();
        let mut watchdog = lock(&self.watchdog);
        let head = self.in_flight.head();
        let action = watchdog.tick(now, progress, head, self.knows_all());
        if let Some(head) = head
            && action != Action::Close
        {
            self.in_flight
                .expire(|since| watchdog.is_overdue(now, progress, head, since));
        }
        drop(watchdog);
        match action {
            Action::Nothing => {}
            Action::Replace => return Health::Doubtful,
            Action::Close => {
                self.timed_out.store(true, Ordering::Relaxed);
                self.close();
                return Health::Closed;
            }
            Action::Learn => {
                let connection = self.clone();
                background::spawn(async move {
                    // The watchdog closes a connection that does not answer.
                    let _ = connection.ask(Instant::now()).await;
                });
            }
        }
        Health::Good
    }

    /// Asks the server what a connection learns at its start, in one round trip of a request that began at `since`.
    pub(crate) async fn ask(&self, since: Instant) -> Result<(), CommandError> {
        let answers = self.pipeline(self.questions(), since).await?;
        self.learn(&answers);
        Ok(())
    }

    /// Resolves when a request is sent while none is in flight.
    pub(crate) fn woken(&self) -> impl Future<Output = ()> + Send + use<> {
        self.in_flight.began()
    }

    /// Whether requests are in flight.
    pub(crate) fn is_busy(&self) -> bool {
        self.in_flight.count() > 0
    }

    pub(crate) fn is_open(&self) -> bool {
        !self.in_flight.is_closed()
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

    /// Whether a reply is due, and no byte has arrived for some ticks.
    #[cfg(feature = "cluster")]
    pub(crate) fn is_silent(&self) -> bool {
        let head = self.in_flight.head();
        head.is_some_and(|head| head.at.elapsed() > SILENT_FOR && head.progress.read == self.progress().read)
    }

    /// The address of the server; `None` for a unix socket.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Unknown if the user may not run `INFO`.
    pub(crate) fn identity(&self) -> Option<Arc<ServerIdentity>> {
        lock(&self.identity).clone()
    }

    /// Whether both lead to one server process, or one of them does not know.
    pub(crate) fn is_same_process(&self, other: &Self) -> bool {
        match (self.identity(), other.identity()) {
            (Some(own), Some(other)) => own.is_same_process(&other),
            _ => true,
        }
    }

    /// Resolves when the connection is closed. The future does not keep the connection open.
    pub(crate) fn closed(&self) -> impl Future<Output = ()> + Send + use<> {
        self.in_flight.closed()
    }

    /// Sends one command of a request that began at `since`.
    pub(crate) async fn send(&self, command: &Cmd, since: Instant) -> Answer {
        let mut multiplexed = self.multiplexed.clone();
        let exchange = multiplexed.send_packed_command(command);
        let reply = self.call(exchange, since).await?;
        self.check(reply)
    }

    /// Sends commands of a request that began at `since`, in one round trip. Each has its own reply.
    pub(crate) async fn pipeline(
        &self,
        commands: Pipeline,
        since: Instant,
    ) -> Result<Vec<Answer>, CommandError> {
        let mut multiplexed = self.multiplexed.clone();
        let exchange = multiplexed.send_packed_commands(&commands, 0, commands.len());
        let replies = self.call(exchange, since).await?;
        Ok(replies.into_iter().map(|reply| self.check(reply)).collect())
    }

    /// Waits for the reply, or until [`tick`](Self::tick) fails the request or closes the connection. (A request future of the
    /// redis crate may hang forever if its driver ends.)
    async fn call<T>(
        &self,
        exchange: impl Future<Output = RedisResult<T>>,
        since: Instant,
    ) -> Result<T, CommandError> {
        let request = self.in_flight.enter(since, self.progress());
        let before = request.extended_since;
        let (mut exchange, mut is_sent) = (pin!(exchange), false);
        let reply = poll_fn(|context| match replace(&mut is_sent, true) {
            true => exchange.as_mut().poll(context),
            false => self.driver.send(|| exchange.as_mut().poll(context)),
        });
        tokio::select! {
            biased;
            reply = reply => reply.map_err(|error| match is_lost(&error) {
                true => {
                    self.close();
                    self.lost(before)
                }
                false => self.refused(&error),
            }),
            failed = request => Err(match failed {
                NoReply::Overdue => Failure::Unknown(StoreFailure::Timeout).into(),
                NoReply::Closed => self.lost(before),
            }),
        }
    }

    /// The bytes since `before` extend the time limit of the request.
    fn lost(&self, before: Progress) -> CommandError {
        let failure = match self.timed_out.load(Ordering::Relaxed) {
            true => Failure::Unknown(StoreFailure::Timeout),
            false => Failure::Lost {
                extension: self.progress().extension_since(before),
            },
        };
        failure.into()
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
        self.in_flight.close();
        self.task.abort();
    }

    fn progress(&self) -> Progress {
        let read = self.traffic.read.load(Ordering::Relaxed);
        Progress {
            replied: read.saturating_sub(self.traffic.pushed.load(Ordering::Relaxed)),
            read,
            written: self.traffic.written.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.close();
    }
}

/// Whether the connection cannot be used any more.
fn is_lost(error: &RedisError) -> bool {
    error.is_unrecoverable_error() || error.is_io_error()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
