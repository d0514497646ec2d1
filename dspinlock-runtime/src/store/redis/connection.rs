//! One connection from its login to its end.

pub(super) mod transport;

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, Pipeline, PushInfo, RedisError, RedisResult, Value};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use crate::error::StoreFailure;
use crate::rt::background;
use crate::store::Failure;
use crate::store::redis::connection::transport::Counted;
use crate::store::redis::failover::grants::Master;
use crate::store::redis::tracking::Watches;
use crate::store::redis::wire::{reply, scripts};
use crate::store::redis::{Address, Answer, Limits};

/// A connection, logged in, with the scripts loaded, its driver on the runtime that made it.
pub(super) struct Generation {
    connection: MultiplexedConnection,
    driver: AbortHandle,
    /// Closed when the driver ends: latched, and everybody who waits is told.
    ended: Arc<Semaphore>,
    /// Bytes read so far.
    read: Arc<AtomicU64>,
    in_flight: AtomicUsize,
    /// Exchanges that ended with a reply.
    answered: AtomicU64,
    /// An answer is owed, and nothing was heard since the watchdog looked last.
    #[cfg(feature = "cluster")]
    owing: AtomicBool,
    /// It was ended because an answer was overdue.
    silent: AtomicBool,
    respond: Duration,
    /// The server pushes changes of what was read.
    tracking: AtomicBool,
    made: Instant,
    /// The server said that it takes no writes: the address may lead to another by now.
    demoted: AtomicBool,
    /// What it said of itself; unset where the login may not ask.
    master: OnceLock<Master>,
}

impl Generation {
    /// Connects on the current runtime. With `watches`, the server is asked to push changes to them.
    pub(super) async fn connect(
        address: &Address,
        limits: Limits,
        watches: Option<Arc<Watches>>,
    ) -> Result<Arc<Self>, String> {
        let read = Arc::<AtomicU64>::default();
        let stream = Counted::open(address, read.clone()).await?;
        // The deadlines are ours: the redis crate's own timer would need a runtime around each call.
        let mut config = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            .set_pipeline_buffer_size(1024);
        if let Some(watches) = watches.clone() {
            config = config.set_push_sender(move |push: PushInfo| {
                watches.pushed(&push);
                Ok::<(), ()>(())
            });
        }
        let (connection, driver) = MultiplexedConnection::new_with_config(&address.login, stream, config)
            .await
            .map_err(login_failure)?;
        let ended = Arc::new(Semaphore::new(0));
        let end = EndsWithDriver {
            ended: ended.clone(),
            watches: watches.clone(),
        };
        let driver = tokio::spawn(async move {
            let _end = end;
            driver.await;
        });
        let generation = Self {
            connection,
            driver: driver.abort_handle(),
            ended,
            read,
            in_flight: AtomicUsize::new(0),
            answered: AtomicU64::new(0),
            #[cfg(feature = "cluster")]
            owing: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            respond: limits.respond,
            tracking: AtomicBool::new(false),
            made: Instant::now(),
            demoted: AtomicBool::new(false),
            master: OnceLock::new(),
        };
        if let Some(watches) = &watches {
            // What was known through the connection before this one is no longer known.
            watches.wake_all();
        }
        generation.prepare(watches.as_deref()).await;
        let generation = Arc::new(generation);
        tokio::spawn(watch(Arc::downgrade(&generation)));
        Ok(generation)
    }

    /// Asks who the server is and loads the scripts, once per connection and never inside a call. A login that may not
    /// load still has EVAL to fall back on; one that may not be told of changes polls.
    async fn prepare(&self, watches: Option<&Watches>) {
        let mut setup = Pipeline::new();
        setup.cmd("INFO").arg("replication");
        setup.cmd("INFO").arg("server");
        for script in scripts::all() {
            setup.cmd("SCRIPT").arg("LOAD").arg(script.text());
        }
        if watches.is_some() {
            // Not NOLOOP: what this connection itself changes may be for a caller that has left.
            setup.cmd("CLIENT").arg("TRACKING").arg("ON").arg("OPTIN");
        }
        let Ok(answers) = self.pipeline(setup).await else {
            return;
        };
        if let [replication, server, ..] = answers.as_slice()
            && let Some(master) = Master::parse(replication, Some(server))
        {
            let _ = self.master.set(master);
        }
        let Some(watches) = watches else {
            return;
        };
        match answers.last() {
            Some(Ok(_)) => self.tracking.store(true, Ordering::Relaxed),
            _ => watches.warn(),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        !self.ended.is_closed()
    }

    /// Whether a request may go out on it. Not on one to a server that has been made a replica, unless it was made just
    /// now: then the address still leads there.
    pub(super) fn is_current(&self) -> bool {
        self.is_open() && !(self.demoted.load(Ordering::Relaxed) && self.made.elapsed() > SETTLED)
    }

    /// Whether the server pushes changes to this connection.
    pub(super) fn is_tracking(&self) -> bool {
        self.tracking.load(Ordering::Relaxed)
    }

    /// Whether an answer is owed, and nothing was heard since the watchdog looked last.
    #[cfg(feature = "cluster")]
    pub(super) fn is_silent(&self) -> bool {
        self.owing.load(Ordering::Relaxed)
    }

    /// Whether the server was a replica of the other one.
    #[cfg(feature = "cluster")]
    pub(super) fn succeeds(&self, other: &Self) -> bool {
        matches!((self.master(), other.master()), (Some(master), Some(other)) if master.succeeds(other))
    }

    /// Who the server is, where the login may know.
    pub(super) fn master(&self) -> Option<&Master> {
        self.master.get()
    }

    #[cfg(feature = "sentinel")]
    pub(super) fn ended(&self) -> &Arc<Semaphore> {
        &self.ended
    }

    /// One command, one reply.
    pub(super) async fn send(&self, command: &Cmd) -> Answer {
        let mut connection = self.connection.clone();
        let exchange = pin!(connection.send_packed_command(command));
        let reply = self.call(exchange).await?;
        self.checked(reply)
    }

    /// Several commands in one round trip, each with its own reply.
    pub(super) async fn pipeline(&self, commands: Pipeline) -> Result<Vec<Answer>, Failure> {
        let mut connection = self.connection.clone();
        let exchange = pin!(connection.send_packed_commands(&commands, 0, commands.len()));
        let replies = self.call(exchange).await?;
        Ok(replies.into_iter().map(|reply| self.checked(reply)).collect())
    }

    /// One exchange. It ends with the reply or with the generation, which [`watch`] ends when an answer is overdue: what
    /// comes behind a request that is not answered would not be answered either. (A request future of the redis crate
    /// may hang for ever when its driver ends.)
    async fn call<T>(&self, exchange: impl Future<Output = RedisResult<T>>) -> Result<T, Failure> {
        let _in_flight = InFlight::enter(&self.in_flight);
        tokio::select! {
            biased;
            reply = exchange => {
                self.answered.fetch_add(1, Ordering::Relaxed);
                reply.map_err(|error| self.classify(&error))
            }
            _ = self.ended.acquire() => Err(self.lost()),
        }
    }

    fn lost(&self) -> Failure {
        let silent = self.silent.load(Ordering::Relaxed);
        Failure::Unknown(if silent {
            StoreFailure::Timeout
        } else {
            StoreFailure::Disconnected
        })
    }

    fn classify(&self, error: &RedisError) -> Failure {
        if error.is_unrecoverable_error() || error.is_io_error() {
            self.end();
            return self.lost();
        }
        self.refused(error)
    }

    /// Inside a pipeline a server's refusal comes as a value.
    fn checked(&self, reply: Value) -> Answer {
        match reply {
            Value::ServerError(error) => Err(self.refused(&RedisError::from(error))),
            other => Ok(other),
        }
    }

    fn refused(&self, error: &RedisError) -> Failure {
        if error.code() == Some("READONLY") {
            self.demoted.store(true, Ordering::Relaxed);
        }
        reply::refused(error)
    }

    pub(super) fn end(&self) {
        self.ended.close();
        self.driver.abort();
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        self.end();
    }
}

/// The end of a driver, whatever ended it, its runtime's included.
struct EndsWithDriver {
    ended: Arc<Semaphore>,
    watches: Option<Arc<Watches>>,
}

impl Drop for EndsWithDriver {
    fn drop(&mut self) {
        self.ended.close();
        // Changes may have been missed.
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

/// How old a connection to a server that takes no writes gets before it is made anew.
const SETTLED: Duration = Duration::from_millis(500);

/// How many ticks without a byte, while one is owed, are too many; together they are the limit of a request.
const SILENT_TICKS: u32 = 5;
/// How many ticks without an answer are too many where bytes do come: a long value, or pushes.
const UNANSWERED_TICKS: u32 = 4 * SILENT_TICKS;
/// After how many idle ticks a connection is asked whether it is still there.
const IDLE_TICKS: u32 = 15;

/// Ends a generation that owes an answer and has been silent for too long: one timer for all of its requests. Ticks are
/// counted, never elapsed time, and by the runtime that drives the connection: a starved runtime is not a dead
/// connection.
async fn watch(generation: Weak<Generation>) {
    let mut seen = (0, 0);
    let (mut silent, mut unanswered, mut idle) = (0, 0, 0);
    let Some(tick) = generation
        .upgrade()
        .map(|generation| generation.respond / SILENT_TICKS)
    else {
        return;
    };
    loop {
        background::sleep(tick).await;
        let Some(generation) = generation.upgrade().filter(|generation| generation.is_open()) else {
            return;
        };
        let now = (
            generation.read.load(Ordering::Relaxed),
            generation.answered.load(Ordering::Relaxed),
        );
        let owed = generation.in_flight.load(Ordering::Relaxed) > 0;
        silent = if owed && now.0 == seen.0 { silent + 1 } else { 0 };
        #[cfg(feature = "cluster")]
        generation.owing.store(silent > 0, Ordering::Relaxed);
        unanswered = if owed && now.1 == seen.1 {
            unanswered + 1
        } else {
            0
        };
        idle = if owed || now != seen { 0 } else { idle + 1 };
        seen = now;
        if silent >= SILENT_TICKS || unanswered >= UNANSWERED_TICKS {
            generation.silent.store(true, Ordering::Relaxed);
            generation.end();
        }
        if idle >= IDLE_TICKS {
            idle = 0;
            tokio::spawn(async move {
                let _ = generation.send(&redis::cmd("PING")).await;
            });
        }
    }
}

fn login_failure(error: RedisError) -> String {
    #[cfg(feature = "tls")]
    if let Some(reason) = crate::store::redis::tls::reason(&error) {
        return reason;
    }
    match error.code() {
        // The code alone: a message may quote what was sent.
        Some(code) => format!("the login was refused ({code})"),
        None => error.category().into(),
    }
}
