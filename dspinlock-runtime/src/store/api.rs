//! The contract between a pool and its store: the trait [`Store`] and the types in its signatures.
//!
//! `pool` calls it, and every store implements it. It knows no URL and no particular store.

use std::any::Any;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;

use crate::error::StoreFailure;
use crate::key::Key;
use crate::protocol::{Read, Reply, Request};
use crate::rt::clock::Instant;

/// A future that borrows nothing: any thread and any executor may poll it.
pub type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// Any store.
pub type SharedStore = Arc<dyn Store>;

/// Resolves when a record may have changed.
pub type Change = Boxed<()>;

/// Keeps records and executes the steps of the protocol on them.
///
/// `since` is when the request began. The time limit of the store counts from then on, so it includes all attempts of a request
/// that is sent again.
///
/// Required are [`step`](Self::step) and [`step_watched`](Self::step_watched). The other methods have defaults for a store
/// without readers and replicas that pushes no changes.
pub trait Store: Any + Send + Sync {
    /// Executes one step atomically, within the time limit of the store.
    ///
    /// # Cancellation safety
    ///
    /// If the future is dropped, the step may or may not be executed. Steps are executed in the order in which their
    /// futures are first polled.
    fn step(&self, key: &Key, request: Request, since: Instant) -> Boxed<Result<Reply, Failure>>;

    /// Reads without a step: it may overtake steps.
    fn read(&self, key: &Key, read: Read, since: Instant) -> Boxed<Result<Reply, Failure>> {
        self.step(key, Request::Read(read), since)
    }

    /// Reads on a connection of the calling runtime or thread, if it has one. A sync caller may be blocked by this call.
    fn read_here(&self, _: &Key, _: Read) -> Option<CallerRead> {
        None
    }

    /// [`read`](Self::read) after a [`CallerRead`] whose reply, `first`, is not a value of this key. If the second reply
    /// differs, the connection of the first one gave it to the wrong read.
    fn read_again(
        &self,
        key: &Key,
        read: Read,
        _first: Reply,
        since: Instant,
    ) -> Boxed<Result<Reply, Failure>> {
        self.read(key, read, since)
    }

    /// Executes a step and watches the record. The [`Change`] resolves with the first change after the step, also if that
    /// change precedes its first poll. If the store pushes no changes, it never resolves.
    fn step_watched(
        &self,
        key: &Key,
        request: Request,
        since: Instant,
    ) -> Boxed<Result<(Reply, Change), Failure>>;

    /// Executes a step that writes whenever it succeeds, then waits until `replicas` replicas have acknowledged this
    /// write and all earlier ones.
    fn step_replicated(
        &self,
        key: &Key,
        request: Request,
        replicas: u32,
        since: Instant,
    ) -> Boxed<Result<Reply, Failure>> {
        let step = self.step(key, request, since);
        Box::pin(async move {
            step.await?;
            Err(Failure::Refused(StoreFailure::TooFewReplicas {
                wanted: replicas,
                acknowledged: 0,
            }))
        })
    }

    /// Reads and registers the record, so that the [`Listener`] is notified of its next change.
    /// If the store pushes no changes, it returns `None` and reads nothing.
    fn read_tracked(&self, _: &Key, _: Read, _: Instant) -> Boxed<Result<Option<Tracked>, Failure>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Whether the store pushes changes of this key now: then a waiter sees each change, however short.
    fn pushes(&self, _: &Key) -> bool {
        false
    }

    /// A number for the server that keeps this key, if there are several.
    fn server(&self, _: &Key) -> usize {
        0
    }

    /// Asks the server, or all masters, what [`Pool::check`](crate::Pool::check) returns. `key`: a store without servers reads it.
    fn check(&self, key: &Key, since: Instant) -> Boxed<Result<Health, Failure>> {
        let start = Instant::now();
        let read = self.step(key, Request::Read(Read { bound: 1 }), since);
        Box::pin(async move {
            read.await?;
            Ok(Health::new(start.elapsed()))
        })
    }

    /// Sets the listener of all later changes. Only the first call has an effect.
    fn listen(&self, _: Arc<dyn Listener>) {}

    /// Some names of entries that begin with `prefix`. An empty cursor begins.
    #[cfg(feature = "inspect")]
    fn names(&self, _prefix: &str, _cursor: &str, _: Instant) -> Boxed<Result<Names, Failure>> {
        Box::pin(std::future::ready(Ok(Names::default())))
    }

    /// The file that keeps entries.
    #[cfg(feature = "inspect")]
    fn file(&self) -> Option<std::path::PathBuf> {
        None
    }

    /// The servers that keep entries.
    #[cfg(feature = "inspect")]
    fn servers(&self, _: Instant) -> Boxed<Result<Vec<Arc<dyn Server>>, Failure>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }
}

/// A bounded part of the names of a store.
#[cfg(feature = "inspect")]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// The names, in no order.
    pub names: Vec<String>,
    /// The cursor of the next part; `None` at the end.
    pub rest: Option<String>,
}

/// About how many names one part has. A server does nothing else meanwhile, and the reply must be small.
#[cfg(feature = "inspect")]
pub(super) const NAMES: usize = 200;

/// One server of a store.
#[cfg(feature = "inspect")]
pub trait Server: Send + Sync {
    /// The host and port, or the socket; never a user name or a password.
    fn address(&self) -> String;

    /// Sends a command on the connection for steps.
    fn command(&self, words: &[&str], since: Instant) -> Boxed<Result<Answer, Failure>>;
}

/// The reply to a command.
#[cfg(feature = "inspect")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// There is none.
    Nil,
    /// A number.
    Number(i64),
    /// A text.
    Text(String),
    /// A list. A map is a list of names and values.
    List(Vec<Answer>),
}

/// A read on a connection of its caller. Any executor may poll it, and it allocates nothing. If it is dropped, its reply is
/// skipped.
pub struct CallerRead(CallerState);

enum CallerState {
    /// The reply is due.
    Due(Arc<dyn Replies>, usize),
    /// The reply of a blocking read, and by how long its bytes extend the time limit of the request.
    Arrived(Outcome, Duration),
}

/// The bytes at a name; `None` if there are none.
pub type Outcome = Result<Option<Bytes>, Doubt>;

/// A connection cannot serve a read, or its reply is doubtful: the background has to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doubt;

/// The replies that a connection owes to its callers, each in a numbered slot.
pub trait Replies: Send + Sync {
    /// The reply in a slot, once.
    fn poll(&self, slot: usize, context: &mut Context<'_>) -> Poll<Outcome>;
    /// By how long the bytes since the request of a slot extend its time limit.
    fn extension(&self, slot: usize) -> Duration;
    /// Nobody waits for this reply any more.
    fn leave(&self, slot: usize);
}

impl CallerRead {
    /// A read whose reply arrives in a slot.
    pub fn due(replies: Arc<dyn Replies>, slot: usize) -> Self {
        Self(CallerState::Due(replies, slot))
    }

    /// A blocking read that is over.
    pub fn arrived(outcome: Outcome, extension: Duration) -> Self {
        Self(CallerState::Arrived(outcome, extension))
    }

    /// By how long the bytes of a doubtful read extend the time limit of its request.
    pub fn extension(&self) -> Duration {
        match &self.0 {
            CallerState::Due(replies, slot) => replies.extension(*slot),
            CallerState::Arrived(_, extension) => *extension,
        }
    }
}

impl Future for CallerRead {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        match &mut self.0 {
            CallerState::Due(replies, slot) => replies.poll(*slot, context),
            CallerState::Arrived(outcome, _) => Poll::Ready(std::mem::replace(outcome, Err(Doubt))),
        }
    }
}

impl Drop for CallerRead {
    fn drop(&mut self) {
        if let CallerState::Due(replies, slot) = &self.0 {
            replies.leave(*slot);
        }
    }
}

/// Receives the changes that a store pushes.
pub trait Listener: Send + Sync + 'static {
    /// The entry with this name has changed or was deleted.
    fn changed(&self, name: &[u8]);

    /// Any entry may have changed: the connection was lost.
    fn all_changed(&self);
}

/// The state of a store, from [`Pool::check`](crate::Pool::check).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// The time of one request on an open connection. In a cluster, that of the slowest master.
    pub round_trip: Duration,
    /// What the server is. `None` for the embedded store, and if the user may not run `INFO`.
    pub role: Option<Role>,
    /// The program and its version, for example `Redis 7.0.15`. In a cluster, that of the first master. `None` if the user may not
    /// run `INFO`, and for the store in memory.
    pub version: Option<String>,
    /// Whether the server pushes changes. Without pushes a near cache stays empty, and callers that wait for another process poll.
    /// The embedded store needs no pushes for waiting, and has no near cache: `false`.
    pub pushes: bool,
}

/// The role of a server in replication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// It accepts writes.
    Master,
    /// It refuses writes, so every call that needs the lock fails.
    Replica,
}

impl Health {
    pub(crate) fn new(round_trip: Duration) -> Self {
        Self {
            round_trip,
            role: None,
            version: None,
            pushes: false,
        }
    }
}

/// The result of [`Store::read_tracked`].
#[derive(Debug)]
pub struct Tracked {
    /// The reply; a hit carries its remaining lifetime.
    pub reply: Reply,
    /// Whether the listener is notified of the next change.
    pub registered: bool,
}

/// Why a step has no reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// There is no usable connection. The step was not sent.
    NotReady {
        /// The host and port, the socket or the file; never a user name or a password.
        address: String,
        /// The cause, and what to do about it.
        reason: String,
    },
    /// The file of the embedded store cannot be used. The step was not executed.
    FileNotReady {
        /// The path of the file.
        path: String,
        /// The cause, and what to do about it.
        reason: String,
    },
    /// The connection was lost. The step may have been executed, or may be executed later. The same request with the same
    /// tag may be sent again.
    Lost {
        /// By how long the bytes of this attempt extend the time limit.
        extension: Duration,
    },
    /// The step may have been executed, or may be executed later.
    Unknown(StoreFailure),
    /// The step was refused and was not executed. Only after [`StoreFailure::TooFewReplicas`] it was.
    Refused(StoreFailure),
}
