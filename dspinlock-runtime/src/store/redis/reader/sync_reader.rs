//! The connection on which a sync caller blocks for its own read. `reader` calls it.
//!
//! It serves one caller at a time; the reads of other callers go by the background. The background connects it and looks after
//! it while it is idle. A caller takes the connection out while it reads. The end of the group shuts the socket down, which
//! wakes the caller. A read that fails in any way closes the connection, because its reply may come later.

use crate::rt::clock::Instant;
use std::io::{self, Read, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::frame::{Due, Frames};
use super::health::{MIN_BYTES, silence};
use super::queue::{outcome, pack};
use super::stream::{Connection, Endpoint};
use crate::store::api::Outcome;
#[cfg(feature = "tls")]
use crate::store::redis::connection::transport::Stream;
use crate::store::redis::socket::SharedSocket;
use crate::store::redis::timeouts::transfer_time;

/// How long one system call waits.
const SLICE: Duration = Duration::from_millis(100);
/// How many ticks without a read close the connection.
const IDLE: u32 = 100;

#[derive(Default)]
pub(crate) struct SyncReader(Mutex<State>);

/// The lock is held for moments only: never during a read.
#[derive(Default)]
enum State {
    /// There is no connection.
    #[default]
    Absent,
    Idle(SyncConnection),
    /// A caller has the connection. The socket of it, for the end.
    Busy(SharedSocket),
    /// The group has ended.
    Closed,
}

/// Why there is no outcome.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    Absent,
    /// Another caller uses the connection.
    Busy,
    /// The read has closed the connection. Its bytes extend the time limit of the request.
    Lost {
        extension: Duration,
    },
}

struct SyncConnection {
    stream: Box<dyn Io>,
    socket: SharedSocket,
    frames: Frames,
    packed: Vec<u8>,
    response_timeout: Duration,
    /// Ticks since the last read.
    idle: u32,
}

trait Io: Read + Write + Send {}
impl<S: Read + Write + Send> Io for S {}

impl SyncReader {
    /// Blocks the calling thread.
    pub(crate) fn read(&self, name: &str, bound: usize) -> Result<Outcome, Unread> {
        let mut connection = self.take()?;
        let mut wait = Wait::new(connection.response_timeout);
        let outcome = connection.exchange(name, bound, &mut wait);
        let mut state = self.lock();
        match (&*state, outcome) {
            (State::Busy(_), Ok(outcome)) => {
                *state = State::Idle(connection);
                return Ok(outcome);
            }
            (State::Busy(_), Err(_)) => *state = State::Absent,
            // The group has ended during the read.
            _ => {}
        }
        let extension = transfer_time(wait.total);
        Err(Unread::Lost { extension })
    }

    fn take(&self) -> Result<SyncConnection, Unread> {
        let mut state = self.lock();
        let busy = match &*state {
            State::Idle(connection) => State::Busy(connection.socket.clone()),
            State::Busy(_) => return Err(Unread::Busy),
            State::Absent | State::Closed => return Err(Unread::Absent),
        };
        match std::mem::replace(&mut *state, busy) {
            State::Idle(connection) => Ok(connection),
            _ => Err(Unread::Absent),
        }
    }

    /// Starts to use a connection, unless it is not needed any more.
    pub(crate) fn open(&self, connection: Connection, endpoint: &Endpoint) -> io::Result<()> {
        let is_checked = connection.is_checked;
        let connection = SyncConnection::new(connection, endpoint.timeouts.response)?;
        let mut state = self.lock();
        if !matches!(*state, State::Absent) || !endpoint.accepts(is_checked) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        *state = State::Idle(connection);
        Ok(())
    }

    /// The tick of the background. Returns whether it has closed the connection.
    pub(crate) fn tick(&self) -> bool {
        let mut state = self.lock();
        let is_lost = match &mut *state {
            State::Idle(connection) => !connection.is_good(),
            _ => false,
        };
        if is_lost {
            *state = State::Absent;
        }
        is_lost
    }

    /// Closes the connection. Returns whether it was idle; otherwise its caller fails.
    pub(crate) fn reset(&self) -> bool {
        let mut state = self.lock();
        if let State::Busy(socket) = &*state {
            socket.shut_down();
            return false;
        }
        let was_idle = matches!(*state, State::Idle(_));
        if was_idle {
            *state = State::Absent;
        }
        was_idle
    }

    /// For ever. A caller that waits fails at once.
    pub(crate) fn close(&self) {
        if let State::Busy(socket) = std::mem::replace(&mut *self.lock(), State::Closed) {
            socket.shut_down();
        }
    }

    #[cfg(test)]
    pub(super) fn is_busy(&self) -> bool {
        matches!(*self.lock(), State::Busy(_))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SyncConnection {
    fn new(connection: Connection, response_timeout: Duration) -> io::Result<Self> {
        let socket = connection.socket.shared;
        socket.raw().set_nonblocking(false)?;
        socket.raw().set_read_timeout(Some(SLICE))?;
        socket.raw().set_write_timeout(Some(SLICE))?;
        Ok(Self {
            stream: match connection.stream {
                #[cfg(feature = "tls")]
                Stream::Tls(stream) => {
                    let (_, session) = stream.into_inner();
                    Box::new(tokio_rustls::rustls::StreamOwned::new(session, socket.clone()))
                }
                _ => Box::new(socket.clone()),
            },
            socket,
            frames: connection.frames,
            packed: Vec::new(),
            response_timeout,
            idle: 0,
        })
    }

    fn exchange(&mut self, name: &str, bound: usize, wait: &mut Wait) -> io::Result<Outcome> {
        self.idle = 0;
        self.packed.clear();
        pack(&mut self.packed, name, bound);
        let mut written = 0;
        while written < self.packed.len() {
            let rest = &self.packed[written..];
            written += wait.progress(|| self.stream.write(rest))?;
        }
        wait.progress(|| self.stream.flush().map(|()| 1))?;
        let due = Due::Bulk {
            max: bound.saturating_add(1),
        };
        loop {
            if let Some(frame) = self.frames.next(due).map_err(|_| io::ErrorKind::InvalidData)? {
                // A byte is an error while no reply is due.
                let is_clean = self.frames.is_empty();
                return if is_clean {
                    Ok(outcome(frame))
                } else {
                    Err(io::ErrorKind::InvalidData.into())
                };
            }
            let space = self.frames.space();
            let count = wait.progress(|| self.stream.read(space))?;
            self.frames.add(count);
        }
    }

    /// Whether the connection is in use, and the server has neither sent a byte nor closed it.
    fn is_good(&mut self) -> bool {
        self.idle += 1;
        let mut look = || {
            self.socket.raw().set_nonblocking(true)?;
            let read = self.stream.read(self.frames.space());
            self.socket.raw().set_nonblocking(false)?;
            read
        };
        let is_quiet = matches!(look(), Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        is_quiet && self.idle < IDLE
    }
}

/// The limits of one read.
struct Wait {
    response_timeout: Duration,
    started_at: Instant,
    /// When the last progress was made, and the bytes since then.
    moved_at: Instant,
    bytes: u64,
    /// All bytes.
    total: u64,
}

impl Wait {
    fn new(response_timeout: Duration) -> Self {
        let now = Instant::now();
        Self {
            response_timeout,
            started_at: now,
            moved_at: now,
            bytes: 0,
            total: 0,
        }
    }

    /// Repeats a system call until it has moved a byte.
    fn progress(&mut self, mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
        use io::ErrorKind::{Interrupted, TimedOut, UnexpectedEof, WouldBlock};
        let limit = self.response_timeout.saturating_add(transfer_time(self.total));
        loop {
            let now = Instant::now();
            if self.bytes >= MIN_BYTES {
                (self.moved_at, self.bytes) = (now, 0);
            }
            if now - self.moved_at >= silence(self.response_timeout) || now - self.started_at >= limit {
                return Err(TimedOut.into());
            }
            match call() {
                Ok(0) => return Err(UnexpectedEof.into()),
                Ok(count) => {
                    self.bytes += count as u64;
                    self.total += count as u64;
                    return Ok(count);
                }
                Err(error) if matches!(error.kind(), TimedOut | WouldBlock | Interrupted) => {}
                Err(error) => return Err(error),
            }
        }
    }
}
