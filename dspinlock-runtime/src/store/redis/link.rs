//! One supervised connection to one server, on the background thread.
//!
//! A connection that is made anew is a new generation. A request goes out on one generation and fails with it: a
//! request future of the redis crate may hang for ever when its driver ends, so each call also watches its
//! generation's end and its own deadline.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, Pipeline, RedisError, RedisResult, Value};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Semaphore, watch};
use tokio::task::AbortHandle;

use super::address::{Address, Place};
use super::{Answer, Limits, reply, scripts};
use crate::background;
use crate::error::StoreFailure;
use crate::store::Failure;

/// Requests go in, replies come out; connecting and supervising happen behind it.
#[derive(Clone)]
pub(super) struct Link(Arc<Inner>);

struct Inner {
    address: Address,
    limits: Limits,
    state: watch::Sender<State>,
}

enum State {
    Down,
    Connecting,
    Up(Arc<Generation>),
    Failed(Failure),
}

impl Link {
    /// Connects with the first request.
    pub(super) fn new(address: Address, limits: Limits) -> Self {
        Self(Arc::new(Inner {
            address,
            limits,
            state: watch::Sender::new(State::Down),
        }))
    }

    /// One command, one reply.
    pub(super) async fn send(&self, command: Cmd) -> Answer {
        let generation = self.generation().await?;
        let mut connection = generation.connection.clone();
        let reply = generation
            .call(self.0.limits.respond, connection.send_packed_command(&command))
            .await?;
        checked(reply)
    }

    /// Two commands in one round trip, each with its own reply.
    pub(super) async fn send_pair(&self, pair: Pipeline) -> Result<[Answer; 2], Failure> {
        let generation = self.generation().await?;
        let mut connection = generation.connection.clone();
        let replies = generation
            .call(
                self.0.limits.respond,
                connection.send_packed_commands(&pair, 0, 2),
            )
            .await?;
        let [first, second] = <[Value; 2]>::try_from(replies)
            .map_err(|_| Failure::Refused(StoreFailure::Refused("not two replies".into())))?;
        Ok([checked(first), checked(second)])
    }

    /// The generation that is up; else the outcome of an attempt that began no earlier than the last one failed.
    async fn generation(&self) -> Result<Arc<Generation>, Failure> {
        if let State::Up(generation) = &*self.0.state.borrow()
            && generation.is_open()
        {
            return Ok(generation.clone());
        }
        let mut states = self.0.state.subscribe();
        self.connect();
        loop {
            match &*states.borrow_and_update() {
                State::Up(generation) => return Ok(generation.clone()),
                State::Failed(failure) => return Err(failure.clone()),
                State::Down | State::Connecting => {}
            }
            // The sender lives in `self`.
            let _ = states.changed().await;
        }
    }

    /// Starts an attempt unless one is under way.
    fn connect(&self) {
        let start = self.0.state.send_if_modified(|state| {
            let start = match state {
                State::Connecting => false,
                State::Up(generation) => !generation.is_open(),
                State::Down | State::Failed(_) => true,
            };
            if start {
                *state = State::Connecting;
            }
            start
        });
        if start {
            let link = self.clone();
            background::spawn(async move {
                let outcome = tokio::time::timeout(link.0.limits.connect, Generation::connect(&link.0)).await;
                let state = match outcome {
                    Ok(Ok(generation)) => State::Up(generation),
                    Ok(Err(reason)) => link.failed(reason),
                    Err(_) => link.failed("no answer in time".into()),
                };
                link.0.state.send_replace(state);
            });
        }
    }

    fn failed(&self, reason: String) -> State {
        log::warn!(target: "dspinlock", "cannot connect to {}: {reason}", self.0.address);
        State::Failed(Failure::NotReady {
            address: self.0.address.to_string(),
            reason,
        })
    }
}

/// One connection from its login to its end.
struct Generation {
    connection: MultiplexedConnection,
    driver: AbortHandle,
    /// Closed when the driver ends: latched, and everybody who waits is told.
    ended: Arc<Semaphore>,
    /// Bytes read so far.
    read: Arc<AtomicU64>,
    in_flight: AtomicUsize,
}

impl Generation {
    async fn connect(inner: &Inner) -> Result<Arc<Self>, String> {
        let read = Arc::<AtomicU64>::default();
        let stream = Counted {
            stream: open(&inner.address).await?,
            read: read.clone(),
        };
        // The deadlines are ours: the redis crate's own timer would need a runtime around each call.
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            .set_pipeline_buffer_size(1024);
        let (mut connection, driver) =
            MultiplexedConnection::new_with_config(&inner.address.login, stream, config)
                .await
                .map_err(login_failure)?;
        let ended = Arc::new(Semaphore::new(0));
        let end = EndsWithDriver(ended.clone());
        let driver = background::spawn(async move {
            let _end = end;
            driver.await;
        });
        let generation = Self {
            connection: connection.clone(),
            driver: driver.abort_handle(),
            ended,
            read,
            in_flight: AtomicUsize::new(0),
        };
        // Once per connection, never inside a call. A login that may not load still has EVAL to fall back on.
        let mut load = Pipeline::new();
        for script in scripts::all() {
            load.cmd("SCRIPT").arg("LOAD").arg(script.text());
        }
        let loaded = connection.send_packed_commands(&load, 0, load.len());
        let _ = generation.call(inner.limits.connect, loaded).await;
        let generation = Arc::new(generation);
        background::spawn(watch(Arc::downgrade(&generation), inner.limits.respond));
        Ok(generation)
    }

    fn is_open(&self) -> bool {
        !self.ended.is_closed()
    }

    /// One exchange. It ends with the reply, with the generation, or at the limit, which ends the generation: what
    /// comes behind a request that is not answered would not be answered either.
    async fn call<T>(
        &self,
        limit: Duration,
        exchange: impl Future<Output = RedisResult<T>>,
    ) -> Result<T, Failure> {
        let _in_flight = InFlight::enter(&self.in_flight);
        tokio::select! {
            biased;
            reply = exchange => reply.map_err(|error| self.classify(&error)),
            _ = self.ended.acquire() => Err(Failure::Unknown(StoreFailure::Disconnected)),
            () = background::sleep(limit) => {
                self.end();
                Err(Failure::Unknown(StoreFailure::Timeout))
            }
        }
    }

    fn classify(&self, error: &RedisError) -> Failure {
        if error.is_unrecoverable_error() || error.is_io_error() {
            self.end();
            return Failure::Unknown(StoreFailure::Disconnected);
        }
        reply::refused(error)
    }

    fn end(&self) {
        self.ended.close();
        self.driver.abort();
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        self.end();
    }
}

struct EndsWithDriver(Arc<Semaphore>);

impl Drop for EndsWithDriver {
    fn drop(&mut self) {
        self.0.close();
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

/// How many ticks without a byte, while one is owed, are too many.
const SILENT_TICKS: u32 = 5;
/// After how many idle ticks a connection is asked whether it is still there.
const IDLE_TICKS: u32 = 15;

/// Ends a generation that owes an answer and has been silent for too long. Ticks are counted, never elapsed time: a
/// starved thread is not a dead connection.
async fn watch(generation: std::sync::Weak<Generation>, respond: Duration) {
    let (mut seen, mut silent, mut idle) = (0, 0, 0);
    loop {
        tokio::time::sleep(respond / SILENT_TICKS).await;
        let Some(generation) = generation.upgrade().filter(|generation| generation.is_open()) else {
            return;
        };
        let read = generation.read.load(Ordering::Relaxed);
        let owed = generation.in_flight.load(Ordering::Relaxed) > 0;
        silent = if owed && read == seen { silent + 1 } else { 0 };
        idle = if owed || read != seen { 0 } else { idle + 1 };
        seen = read;
        if silent >= SILENT_TICKS {
            generation.end();
        }
        if idle >= IDLE_TICKS {
            idle = 0;
            background::spawn(async move {
                let mut connection = generation.connection.clone();
                let _ = generation
                    .call(respond, connection.send_packed_command(&redis::cmd("PING")))
                    .await;
            });
        }
    }
}

/// Inside a pipeline a server's refusal comes as a value.
fn checked(reply: Value) -> Answer {
    match reply {
        Value::ServerError(error) => Err(reply::refused(&RedisError::from(error))),
        other => Ok(other),
    }
}

fn login_failure(error: RedisError) -> String {
    match error.code() {
        // The code alone: a message may quote what was sent.
        Some(code) => format!("the login was refused ({code})"),
        None => error.category().into(),
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

async fn open(address: &Address) -> Result<Box<dyn Stream>, String> {
    let failed = |error: std::io::Error| error.to_string();
    match &address.place {
        Place::Tcp { host, port } => {
            let stream = tokio::net::TcpStream::connect((host.as_str(), *port))
                .await
                .map_err(failed)?;
            stream.set_nodelay(true).map_err(failed)?;
            #[cfg(feature = "tls")]
            if address.tls {
                return Ok(Box::new(super::tls::wrap(host, stream).await?));
            }
            Ok(Box::new(stream))
        }
        #[cfg(unix)]
        Place::Unix(path) => Ok(Box::new(
            tokio::net::UnixStream::connect(path).await.map_err(failed)?,
        )),
        #[cfg(not(unix))]
        Place::Unix(_) => Err("unix sockets are not available on this system".into()),
    }
}

/// Counts what is read.
struct Counted {
    stream: Box<dyn Stream>,
    read: Arc<AtomicU64>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let poll = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.read
            .fetch_add((buffer.filled().len() - before) as u64, Ordering::Relaxed);
        poll
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
