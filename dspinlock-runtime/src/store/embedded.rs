//! One machine, all its processes, no server: a SQLite file that runs [`protocol::step`](crate::protocol::step)
//! inside its transactions.
//!
//! What is promised of the file:
//!
//! - **kill -9** at any moment leaves it whole: it is in WAL mode, and a step is one transaction. After a loss of power
//!   the last steps may be missing; nobody holds a lock of that machine then, and fences go on growing with its clock.
//! - It must be on a local disk: processes meet in memory that a network file system does not share.
//! - It should not be deleted or replaced while it is open. A process notices that with its next step other than a
//!   read, and goes on with the new file; all locks and values in the old one are gone, as if each had been deleted.
//! - It must not be carried over a fork: a store that was opened before a fork refuses every step in the child.
//! - All times are the machine's clock. Setting it forward ends leases early, setting it back prolongs them; a fence
//!   never goes back while its key is there.

mod file;
mod sqlite_error;
mod table;

mod watch;
mod worker;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::oneshot;

use self::table::Table;
use self::watch::Watch;
use self::worker::{Job, Message, Worker};
use super::{Boxed, Change, Failure, SharedStore, Store};
use crate::error::{Error, StoreFailure};
use crate::key::Key;
use crate::protocol::{Reply, Request};
use crate::rt::background;

pub use self::file::default_path;

/// How long a step may wait for the other processes of the machine, unless said otherwise.
pub const TIME_LIMIT: Duration = Duration::from_secs(5);

/// Microseconds since 1970.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The store behind the path of a `sqlite:` URL.
pub(crate) fn open(path: &str) -> Result<SharedStore, Error> {
    background::start(format_args!("sqlite:{path}"))?;
    Ok(Arc::new(match path {
        ":memory:" => Embedded::memory()?,
        "" => Embedded::open(&default_path()?, TIME_LIMIT)?,
        // Else a slip of the pen, or what only a shell understands, would make a file of that name.
        path if path.starts_with([':', '~']) => {
            return Err(Error::Configuration(
                "sqlite: takes a path, `:memory:`, or nothing for the default path; `~` is not understood"
                    .into(),
            ));
        }
        path => Embedded::open(Path::new(path), TIME_LIMIT)?,
    }))
}

/// The embedded store. All its SQLite work is done on one thread of its own, which ends when the store is dropped.
pub struct Embedded {
    jobs: Sender<Message>,
    watch: Arc<Watch>,
    /// The file, for people to read.
    address: String,
    time_limit: Duration,
    /// Whose thread it is: a forked child inherits the channel, but not the thread behind it.
    process: u32,
}

impl Embedded {
    /// Opens the file at `path` and makes it where it is missing, together with its folders: the folders for their
    /// owner alone (0700), the file too (0600). What exists keeps the permissions that it has.
    ///
    /// Blocks for some milliseconds, and for `time_limit` at most while other processes keep the file busy. A step may
    /// wait as long.
    ///
    /// # Errors
    ///
    /// [`Error::Configuration`] for a file that is not a store or was written by a newer version: it is not touched.
    /// [`Error::RedisNotInitialized`] where the file cannot be made, read or written.
    pub fn open(path: &Path, time_limit: Duration) -> Result<Self, Error> {
        Self::open_with_clock(path, time_limit, machine_clock())
    }

    /// A store in the memory of this process, for this process alone.
    ///
    /// # Errors
    ///
    /// [`Error::RedisNotInitialized`] where there is no memory or no thread for it.
    pub fn memory() -> Result<Self, Error> {
        Self::memory_with_clock(machine_clock())
    }

    /// For tests: [`Embedded::open`] with a clock of one's own.
    #[doc(hidden)]
    pub fn open_with_clock(path: &Path, time_limit: Duration, clock: Clock) -> Result<Self, Error> {
        let table = Table::open(path, time_limit, clock)?;
        Self::start(table, path.display().to_string(), time_limit)
    }

    /// For tests: [`Embedded::memory`] with a clock of one's own.
    #[doc(hidden)]
    pub fn memory_with_clock(clock: Clock) -> Result<Self, Error> {
        Self::start(Table::memory(clock)?, ":memory:".into(), TIME_LIMIT)
    }

    fn start(table: Table, address: String, time_limit: Duration) -> Result<Self, Error> {
        let (jobs, inbox) = channel();
        let watch = Arc::new(Watch::default());
        let worker = Worker::new(table, inbox, Arc::clone(&watch));
        std::thread::Builder::new()
            .name("dspinlock-sqlite".into())
            .spawn(move || worker.run())
            .map_err(|error| Error::RedisNotInitialized {
                address: address.clone(),
                reason: format!("no thread can be started ({})", error.kind()),
            })?;
        Ok(Self {
            jobs,
            watch,
            address,
            time_limit,
            process: std::process::id(),
        })
    }

    fn not_ready(&self, reason: &str) -> Boxed<Result<Reply, Failure>> {
        Box::pin(std::future::ready(Err(Failure::NotReady {
            address: self.address.clone(),
            reason: reason.into(),
        })))
    }
}

impl Embedded {
    /// Resolves within about 5 ms of a step of another process, and at once after a step of this one other than a
    /// renewal. To miss nothing, look again after this call: what a step asked for then does not see, wakes.
    pub fn changed(&self) -> Change {
        let waiting = Watch::wait(&self.watch);
        // The thread looks before it takes any step that is asked for from now on. Where it has ended, nothing changes.
        let _ = self.jobs.send(Message::Look);
        Box::pin(waiting)
    }
}

impl Store for Embedded {
    /// Steps are taken in the order in which they are asked for, except that a [`Request::Read`] may overtake steps
    /// that wait for another process to let go of the file.
    fn step(&self, key: &Key, request: Request) -> Boxed<Result<Reply, Failure>> {
        if std::process::id() != self.process {
            return self.not_ready("it was opened before a fork; open it in the child");
        }
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Job {
            key: key.state_name(),
            request,
            deadline: Instant::now() + self.time_limit,
            reply,
        });
        if self.jobs.send(Message::Step(job)).is_err() {
            return self.not_ready("its thread has ended");
        }
        Box::pin(async move {
            answer
                .await
                .unwrap_or(Err(Failure::Unknown(StoreFailure::Disconnected)))
        })
    }

    fn step_watched(&self, key: &Key, request: Request) -> Boxed<Result<(Reply, Change), Failure>> {
        let changed = self.changed();
        let reply = self.step(key, request);
        Box::pin(async move { Ok((reply.await?, changed)) })
    }
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Embedded")
            .field(&PathBuf::from(&self.address))
            .finish()
    }
}

fn machine_clock() -> Clock {
    Arc::new(|| {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        since.map_or(0, |since| since.as_micros() as u64)
    })
}
