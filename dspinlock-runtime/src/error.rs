//! Every way in which a lock can fail.

use std::time::Duration;

use crate::key::Key;

/// Why a call could not lock, wait, read or release.
///
/// The variants with the names of `py-dspinlock` mean what they mean there. A message names the operation and the
/// key's digest; it never holds an argument, a value or a password.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The state in the store bears a number other than 0 (BLOCKED) and 1 (COMPUTED). It was left as it is.
    #[error("the state of {key} is neither BLOCKED nor COMPUTED")]
    AtomicQueryInvalidState {
        /// Which lock.
        key: Key,
    },
    /// A lock was released that is not, or no longer, the releaser's.
    #[error("{key} was released, but is no longer held by this lease")]
    InvalidMutexReleaseEncountered {
        /// Which lock.
        key: Key,
    },
    /// No usable connection to the store could be made: nobody listens, the name is unknown, the login was refused.
    #[error("the store at {address} cannot be used: {reason}")]
    RedisNotInitialized {
        /// Host and port, socket or file; never user or password.
        address: String,
        /// What went wrong.
        reason: String,
    },
    /// Another caller held the key for as long as this one was willing to wait.
    #[error("{key} was still held by another after {waited:?}")]
    SpinlockTriesExceeded {
        /// Which lock.
        key: Key,
        /// How long this call waited.
        waited: Duration,
    },
    /// The state in the store is not of the form `<tag>,<timestamp>,<0 or 1>`. It was left as it is.
    #[error("the state of {key} cannot be parsed")]
    InvalidValueEncounteredDuringUnpacking {
        /// Which lock.
        key: Key,
    },
    /// The key exists and `fail_if_key_exists` is on.
    #[error("{key} exists already, and fail_if_key_exists is on")]
    FailIfKeyExistsIsEnabled {
        /// Which lock.
        key: Key,
        /// How long the key will go on existing, as far as the store can tell.
        left: Option<Duration>,
    },
    /// The key's `Serialize` implementation failed, so that no key could be made.
    #[error("the key of {site} cannot be made: its Serialize implementation failed")]
    ProvidedObjectIsNotHashable {
        /// Which function, or `HashDSpinlock`.
        site: String,
    },
    /// The lease lapsed before the lock was released: its holder was paused or cut off for too long.
    #[error("the lease on {key} was lost")]
    LeaseLost {
        /// Which lock.
        key: Key,
    },
    /// The store refused or did not answer.
    #[error("{operation} of {key} failed: {reason}")]
    Store {
        /// What was asked: `read`, `acquire`, `renew`, `publish`, `abort` or `delete`.
        operation: &'static str,
        /// Which lock.
        key: Key,
        /// What went wrong.
        reason: StoreFailure,
    },
    /// The value that the function returned could not be encoded. It was not stored.
    #[error("the value for {key} cannot be encoded: its Serialize implementation failed")]
    Codec {
        /// Which lock.
        key: Key,
    },
    /// The value that the function returned is larger than the pool's `max_value_size`. It was not stored.
    #[error("the value for {key} is {size} bytes long, max_value_size is {limit}")]
    ValueTooLarge {
        /// Which lock.
        key: Key,
        /// The encoded length in bytes.
        size: usize,
        /// The greatest length in bytes.
        limit: usize,
    },
    /// An option, a URL or a file cannot be used as it is.
    #[error("{0}")]
    Configuration(String),
    /// The body of a locked function asked for its own key: it would have waited for itself.
    #[error("{key} is already held by the body that asks for it")]
    Recursion {
        /// Which lock.
        key: Key,
    },
}

/// Why a store did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreFailure {
    /// No answer within the time limit; the step may or may not have been taken.
    #[error("no answer in time")]
    Timeout,
    /// The connection broke before the answer came.
    #[error("the connection was lost")]
    Disconnected,
    /// Fewer replicas than `replicas` asks for have acknowledged the step in time. A lock was given up; a deleted key is
    /// deleted, but may come back after a failover.
    #[error("{acknowledged} of {wanted} replicas have acknowledged it")]
    TooFewReplicas {
        /// How many were asked for.
        wanted: u32,
        /// How many there were in time.
        acknowledged: u32,
    },
    /// The user has no permission for the step: which one, and how to grant it.
    #[error("permission denied: {0}")]
    PermissionDenied(String),
    /// The server does not take writes now (read-only replica, out of memory, still loading).
    #[error("the server refuses writes now ({0})")]
    Unavailable(String),
    /// Any other refusal; the server's error code, or the embedded store's message.
    #[error("refused ({0})")]
    Refused(String),
}
