//! Where records are kept: one method that takes one atomic step.

#[cfg(feature = "embedded")]
pub mod embedded;
pub mod redis;

use std::pin::Pin;
use std::sync::Arc;

use crate::error::{Error, StoreFailure};
use crate::key::Key;
use crate::protocol::{Read, Reply, Request};
use crate::tls::Tls;

pub use self::redis::RedisParameters;

/// The store behind a URL.
pub(crate) fn open(url: &str, tls: Tls) -> Result<SharedStore, Error> {
    match url.strip_prefix("sqlite:") {
        #[cfg(feature = "embedded")]
        Some(path) if tls == Tls::default() => embedded::open(path),
        #[cfg(not(feature = "embedded"))]
        Some(_) => Err(Error::Configuration(
            "sqlite: needs the feature `embedded` of dspinlock".into(),
        )),
        _ => redis::open(url, tls),
    }
}

/// A future that owns all it needs and may be polled from any thread and under any executor.
pub type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// What keeps records.
pub trait Store: Send + Sync + 'static {
    /// Takes one step of the protocol, atomically, and is done within the store's own time limit.
    ///
    /// # Cancel safety
    ///
    /// A dropped future may or may not have taken its step. Steps asked for later are taken later.
    fn step(&self, key: &Key, request: Request) -> Boxed<Result<Reply, Failure>>;

    /// Takes a step and tells of the next change: the second future resolves when the record may have changed since
    /// the step was taken, or never, where the store cannot tell. A change that comes before it is polled is remembered.
    fn step_watched(&self, key: &Key, request: Request) -> Boxed<Result<(Reply, Change), Failure>>;

    /// Reads, and has the listener told of every later change. `None`, and nothing was read, where the store cannot tell.
    fn read_tracked(&self, _: &Key, _: Read) -> Boxed<Result<Option<Tracked>, Failure>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Takes a step that writes whenever it succeeds, and is done when so many replicas have heard of it and of all that
    /// was written before. A store without replicas has done all it can.
    fn step_replicated(&self, key: &Key, request: Request, replicas: u32) -> Boxed<Result<Reply, Failure>> {
        let step = self.step(key, request);
        Box::pin(async move {
            step.await?;
            Err(Failure::Refused(StoreFailure::TooFewReplicas {
                wanted: replicas,
                acknowledged: 0,
            }))
        })
    }

    /// Who is told of changes. A store that cannot tell says nothing.
    fn listen(&self, _: Arc<dyn Listener>) {}

    /// How many records have somebody who waits for their next change.
    fn watches(&self) -> usize {
        0
    }

    /// This store by the way that is shortest for the caller, where there are several. Steps that must not overtake one
    /// another take the same way.
    fn here(&self) -> Option<SharedStore> {
        None
    }
}

/// Who is told of changes.
pub trait Listener: Send + Sync + 'static {
    /// The entry of this name is no longer what was read.
    fn changed(&self, name: &[u8]);

    /// Nothing is known any more: any entry may have changed.
    fn all_changed(&self);
}

/// What was read.
#[derive(Debug)]
pub struct Tracked {
    /// The answer; of a hit with the time that is left to it.
    pub reply: Reply,
    /// The listener is told of the next change.
    pub registered: bool,
}

/// The next change of a record.
pub type Change = Boxed<()>;

/// Every store behind one pointer.
pub type SharedStore = Arc<dyn Store>;

/// Why a step was not taken, or not known to be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// No usable connection: nothing was sent.
    NotReady {
        /// Host and port, socket or file; never user or password.
        address: String,
        /// What went wrong.
        reason: String,
    },
    /// The step may have been taken, or may yet be: send the same request with the same tag.
    Unknown(StoreFailure),
    /// The step was refused, and not taken.
    Refused(StoreFailure),
}
