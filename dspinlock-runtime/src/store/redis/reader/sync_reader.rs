//! The connection on which a sync caller blocks for its own read. `reader` calls it.
//!
//! It serves one caller at a time; the reads of other callers go by the background. The background connects it and looks after
//! it while it is idle. A caller waits in slices, so that the end of the group is noticed. A read that fails in any way
//! closes the connection, because its reply may come later.

use crate::rt::clock::Instant;
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::time::Duration;

use super::frame::{Due, Frames};
use super::health::{MIN_BYTES, silence};
use super::queue::{Outcome, outcome, pack};
use super::stream::Connection;
#[cfg(feature = "tls")]
use super::stream::Stream;
use crate::store::redis::timeouts::transfer_time;

/// How long one system call waits.
const SLICE: Duration = Duration::from_millis(100);
/// How many ticks without a read close the connection.
const IDLE: u32 = 100;

#[derive(Default)]
pub(crate) struct SyncReader {
    connection: Mutex<Option<SyncConnection>>,
    /// Whether `connection` has a value.
    is_open: AtomicBool,
    /// The group has ended.
    is_closed: AtomicBool,
}

/// The read has closed the connection. Its bytes extend the time limit of the request.
pub(crate) struct Lost {
    pub(crate) extension: Duration,
}

pub(super) struct SyncConnection {
    stream: SyncStream,
    frames: Frames,
    packed: Vec<u8>,
    response_timeout: Duration,
    /// Ticks since the last read.
    idle: u32,
}

enum SyncStream {
    Plain(socket2::Socket),
    #[cfg(feature = "tls")]
    Tls(Box<tokio_rustls::rustls::StreamOwned<tokio_rustls::rustls::ClientConnection, socket2::Socket>>),
}

trait Io: Read + Write {}
impl<S: Read + Write> Io for S {}

impl SyncReader {
    pub(crate) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Relaxed)
    }

    /// Blocks the calling thread. `None` if there is no connection, or another caller uses it.
    pub(crate) fn read(&self, name: &str, bound: usize) -> Option<Result<Outcome, Lost>> {
        let mut slot = self.try_lock()?;
        let connection = slot.as_mut()?;
        let mut wait = Wait::new(&self.is_closed, connection.response_timeout);
        let outcome = connection.exchange(name, bound, &mut wait);
        Some(outcome.map_err(|_| {
            self.drop_connection(&mut slot);
            let extension = transfer_time(wait.total);
            Lost { extension }
        }))
    }

    /// Starts to use a connection.
    pub(crate) fn open(&self, connection: Connection, response_timeout: Duration) -> io::Result<()> {
        let connection = SyncConnection::new(connection, response_timeout)?;
        let mut slot = self.connection.lock().unwrap_or_else(|slot| slot.into_inner());
        if !self.is_closed.load(Ordering::Relaxed) {
            *slot = Some(connection);
            self.is_open.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The tick of the background. Returns whether it has closed the connection.
    pub(crate) fn tick(&self) -> bool {
        let Some(mut slot) = self.try_lock() else {
            return false;
        };
        let is_good = slot.as_mut().is_none_or(SyncConnection::is_good);
        if !is_good {
            self.drop_connection(&mut slot);
        }
        !is_good
    }

    /// For ever. A caller that waits fails after its slice.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        if let Some(mut slot) = self.try_lock() {
            self.drop_connection(&mut slot);
        }
    }

    fn drop_connection(&self, slot: &mut Option<SyncConnection>) {
        *slot = None;
        self.is_open.store(false, Ordering::Relaxed);
    }

    /// `None` if another thread uses the connection.
    pub(super) fn try_lock(&self) -> Option<MutexGuard<'_, Option<SyncConnection>>> {
        match self.connection.try_lock() {
            Ok(slot) => Some(slot),
            Err(TryLockError::Poisoned(slot)) => Some(slot.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

impl SyncConnection {
    fn new(connection: Connection, response_timeout: Duration) -> io::Result<Self> {
        let raw = connection.socket.raw;
        raw.set_nonblocking(false)?;
        raw.set_read_timeout(Some(SLICE))?;
        raw.set_write_timeout(Some(SLICE))?;
        Ok(Self {
            stream: match connection.stream {
                #[cfg(feature = "tls")]
                Stream::Tls(stream) => {
                    let (_, session) = stream.into_inner();
                    SyncStream::Tls(Box::new(tokio_rustls::rustls::StreamOwned::new(session, raw)))
                }
                _ => SyncStream::Plain(raw),
            },
            frames: connection.frames,
            packed: Vec::new(),
            response_timeout,
            idle: 0,
        })
    }

    fn exchange(&mut self, name: &str, bound: usize, wait: &mut Wait<'_>) -> io::Result<Outcome> {
        self.idle = 0;
        self.packed.clear();
        pack(&mut self.packed, name, bound);
        let mut written = 0;
        while written < self.packed.len() {
            let rest = &self.packed[written..];
            written += wait.progress(|| self.stream.io().write(rest))?;
        }
        wait.progress(|| self.stream.io().flush().map(|()| 1))?;
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
            let count = wait.progress(|| self.stream.io().read(space))?;
            self.frames.add(count);
        }
    }

    /// Whether the connection is in use, and the server has neither sent a byte nor closed it.
    fn is_good(&mut self) -> bool {
        self.idle += 1;
        let Self { stream, frames, .. } = self;
        let mut look = || {
            stream.raw().set_nonblocking(true)?;
            let read = stream.io().read(frames.space());
            stream.raw().set_nonblocking(false)?;
            read
        };
        let is_quiet = matches!(look(), Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        is_quiet && self.idle < IDLE
    }
}

impl SyncStream {
    fn io(&mut self) -> &mut dyn Io {
        match self {
            Self::Plain(stream) => stream,
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream,
        }
    }

    fn raw(&self) -> &socket2::Socket {
        match self {
            Self::Plain(stream) => stream,
            #[cfg(feature = "tls")]
            Self::Tls(stream) => &stream.sock,
        }
    }
}

/// The limits of one read.
struct Wait<'a> {
    is_closed: &'a AtomicBool,
    response_timeout: Duration,
    started_at: Instant,
    /// When the last progress was made, and the bytes since then.
    moved_at: Instant,
    bytes: u64,
    /// All bytes.
    total: u64,
}

impl<'a> Wait<'a> {
    fn new(is_closed: &'a AtomicBool, response_timeout: Duration) -> Self {
        let now = Instant::now();
        Self {
            is_closed,
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
            let is_over =
                now - self.moved_at >= silence(self.response_timeout) || now - self.started_at >= limit;
            if is_over || self.is_closed.load(Ordering::Relaxed) {
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
