//! The store of one machine, without a server: a SQLite file that all processes share, and that runs
//! [`protocol::step`](crate::protocol::step) inside its transactions.
//!
//! - **kill -9** at any moment leaves the file intact, because it is in WAL mode and a step is one transaction. After a
//!   loss of power the last steps may be missing. Fences still grow while that clock is not set back.
//! - The file must be on a local disk, because processes share memory that a network file system does not have.
//! - The file should not be deleted or replaced while it is open. A process checks this before each step except reads, and
//!   continues with the new file. All keys of the old file count as deleted.
//! - A forked child has no thread of its parent, so it must not use a store that its parent opened. The pool checks that.
//! - All times are by the machine's clock. If it is set forward, leases expire early. If it is set back, a lease or a value
//!   lives at most once more for its whole length. The fence of an existing entry never goes back.
//!
//! Modules, top first: `worker`, `table`, `file`, `inherited`, `place`, `open_error`, `sqlite_error`. Imports point downwards.

mod file;
mod inherited;
mod open_error;
mod place;
mod sqlite_error;
mod table;
mod worker;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, SystemTime};

use tokio::sync::oneshot;

use self::inherited::Open;
use self::open_error::OpenError;
use self::table::Table;
use self::worker::{Job, Message, Worker};
#[cfg(feature = "inspect")]
use super::api::Names;
use super::api::{Boxed, Change, Failure, Health, SharedStore, Store};
use super::watch::Watch;
use crate::error::Error;
use crate::key::Key;
use crate::protocol::{Read, Reply, Request};
use crate::rt::background;
use crate::rt::clock::Instant;

pub use self::file::default_path;
pub use self::table::Clock;

/// How long a step may wait for other processes by default.
pub const TIME_LIMIT: Duration = Duration::from_secs(5);

/// Opens the path of a `sqlite:` URL.
pub(crate) fn open(path: &str, time_limit: Option<Duration>) -> Result<SharedStore, Error> {
    let time_limit = time_limit.unwrap_or(TIME_LIMIT);
    background::start().map_err(|error| OpenError::NoThread(error.kind()).into_error(path))?;
    Ok(Arc::new(match path {
        "" => Embedded::open(&default_path()?, time_limit)?,
        path if is_misread(path) => {
            return Err(Error::url(
                "`sqlite:` takes a path, `:memory:`, or nothing for the default path; `~` and `$NAME` are not expanded, and an \
                 absolute path has one slash before it, or three: `sqlite:/PATH`; a file with the name `memory` is `sqlite:./memory`",
            ));
        }
        path => Embedded::open(Path::new(path), time_limit)?,
    }))
}

/// Whether the path means something else elsewhere: a mistyped `:memory:`, which may lack its colons, a home folder, a variable of a shell, a URI of SQLite,
/// or a host. It would create a file with that name.
fn is_misread(path: &str) -> bool {
    let relative = path.trim_start_matches('/');
    let is_name = |c: char| c.is_ascii_alphabetic() || "_{".contains(c);
    relative.starts_with(|c: char| ":~".contains(c) || c.is_whitespace())
        || relative.starts_with("file:")
        || ["memory", "memory:"].contains(&relative)
        || path.split('$').skip(1).any(|rest| rest.starts_with(is_name))
        || path.len() - relative.len() == 2
}

/// The embedded store. One thread does all its SQLite work; it ends when the store is dropped.
pub struct Embedded {
    jobs: Sender<Message>,
    watch: Arc<Watch>,
    /// The path, for messages.
    path: String,
    time_limit: Duration,
}

impl Embedded {
    /// Opens the file at `path`. A missing file and its folders are created for their owner alone (modes 0600 and 0700).
    /// Existing ones keep their modes.
    ///
    /// Blocks for some milliseconds, and for at most `time_limit` while other processes keep the file busy. A step may
    /// wait as long.
    ///
    /// # Errors
    ///
    /// [`Error::EmbeddedNotInitialized`] if the file cannot be created, read or written. A file of another program or of a
    /// newer version is not changed.
    pub fn open(path: &Path, time_limit: Duration) -> Result<Self, Error> {
        Self::open_with_clock(path, time_limit, machine_clock())
    }

    /// [`Embedded::open`] with a custom clock, for tests.
    #[doc(hidden)]
    pub fn open_with_clock(path: &Path, time_limit: Duration, clock: Clock) -> Result<Self, Error> {
        let table = Table::open(path, time_limit, clock).map_err(|error| error.into_error(path.display()))?;
        Self::start(table, path.display().to_string(), time_limit)
    }

    fn start(table: Table, path: String, time_limit: Duration) -> Result<Self, Error> {
        let (jobs, inbox) = channel();
        let watch = Arc::new(Watch::default());
        let worker = Worker::new(Open::new(table), inbox, Arc::clone(&watch));
        std::thread::Builder::new()
            .name("dspinlock-sqlite".into())
            .spawn(move || worker.run())
            .map_err(|error| OpenError::NoThread(error.kind()).into_error(&path))?;
        Ok(Self {
            jobs,
            watch,
            path,
            time_limit,
        })
    }

    fn not_ready(&self, reason: &str) -> Boxed<Result<Reply, Failure>> {
        Box::pin(std::future::ready(Err(Failure::FileNotReady {
            path: self.path.clone(),
            reason: reason.into(),
        })))
    }
}

impl Embedded {
    /// Resolves within about 5 ms after another process has changed the file, and at once after a step of this process has,
    /// except a renewal. A change that does not resolve the future is visible to every step that is sent after this call.
    pub fn changed(&self) -> Change {
        let waiting = Watch::wait(&self.watch);
        // The thread polls before it executes any later step. If it has exited, nothing changes any more.
        let _ = self.jobs.send(Message::Poll);
        Box::pin(waiting)
    }
}

impl Store for Embedded {
    /// Steps are executed in the order of the calls, except that a [`Request::Read`] may overtake steps that wait for
    /// another process.
    fn step(&self, key: &Key, request: Request, since: Instant) -> Boxed<Result<Reply, Failure>> {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Job {
            key: key.clone(),
            request,
            deadline: since + self.time_limit,
            reply,
        });
        if self.jobs.send(Message::Step(job)).is_err() {
            return self.not_ready("its thread has ended: open a new pool");
        }
        Box::pin(async move {
            answer.await.unwrap_or(Err(Failure::Lost {
                extension: Duration::ZERO,
            }))
        })
    }

    fn step_watched(
        &self,
        key: &Key,
        request: Request,
        since: Instant,
    ) -> Boxed<Result<(Reply, Change), Failure>> {
        let changed = self.changed();
        let reply = self.step(key, request, since);
        Box::pin(async move { Ok((reply.await?, changed)) })
    }

    #[cfg(feature = "inspect")]
    fn file(&self) -> Option<PathBuf> {
        Some(PathBuf::from(&self.path)).filter(|path| path.as_os_str() != ":memory:")
    }

    #[cfg(feature = "inspect")]
    fn names(&self, prefix: &str, cursor: &str, _: Instant) -> Boxed<Result<Names, Failure>> {
        let (reply, answer) = oneshot::channel();
        let (prefix, after) = (prefix.to_owned(), cursor.to_owned());
        // If the thread has ended, the channel is closed.
        let _ = self.jobs.send(Message::Names { prefix, after, reply });
        Box::pin(async move {
            answer.await.unwrap_or(Err(Failure::Lost {
                extension: Duration::ZERO,
            }))
        })
    }

    fn check(&self, key: &Key, since: Instant) -> Boxed<Result<Health, Failure>> {
        let start = Instant::now();
        let read = self.step(key, Request::Read(Read { bound: 1 }), since);
        Box::pin(async move {
            read.await?;
            Ok(Health {
                version: Some(format!("SQLite {}", rusqlite::version())),
                ..Health::new(start.elapsed())
            })
        })
    }
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Embedded")
            .field(&PathBuf::from(&self.path))
            .finish()
    }
}

fn machine_clock() -> Clock {
    Arc::new(|| {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        since.map_or(0, |since| since.as_micros() as u64)
    })
}
