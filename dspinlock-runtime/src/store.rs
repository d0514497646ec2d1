//! Where records are kept: one method that takes one atomic step.

#[cfg(feature = "embedded")]
pub mod embedded;
pub mod redis;

use std::pin::Pin;
use std::sync::Arc;

use crate::error::StoreFailure;
use crate::key::Key;
use crate::protocol::{Reply, Request};

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

    /// Resolves when a step of another process may have changed a record; never where the store cannot tell.
    fn changed(&self) -> Boxed<()> {
        Box::pin(std::future::pending())
    }
}

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
