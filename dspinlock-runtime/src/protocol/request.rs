//! The requests of the protocol and the replies to them.

use bytes::Bytes;

use crate::key::Key;
use crate::protocol::header::{Flag, Hit, Origin};
use crate::protocol::state::BadState;
use crate::protocol::tag::{Id, Tag};

/// One atomic step on one key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Request {
    /// Reads the computed value.
    Read(Read),
    /// Acquires the lock, or returns the computed value.
    Acquire(Acquire),
    /// Extends the lease.
    Renew(Renew),
    /// Releases the lock and publishes the result.
    Publish(Publish),
    /// Releases the lock of a key that keeps no result.
    Release(Release),
    /// Releases the lock of a call that was dropped.
    Abort {
        /// The holder's tag. A dropped call knows no fence.
        tag: Tag,
    },
    /// Deletes the entry.
    Delete,
    /// Reads whatever the entry is: the holder of the lock, or the value. It changes nothing.
    Describe(Read),
}

/// Reads the computed value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Read {
    /// The maximum length of the entry, at least that of a head.
    pub bound: usize,
}

/// Acquires the lock, or returns the computed value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Acquire {
    /// The tag of the call. Every call has a new tag, and a retry has the same.
    pub tag: Tag,
    /// The lease, in milliseconds.
    pub lease: u64,
    /// The expiry of a held lock that has none, in milliseconds.
    pub max_block: u64,
    /// Whether a computed result is returned instead of the lock: `cached_if_computed`.
    pub cached: bool,
    /// Whether an existing key is an error: `fail_if_key_exists`.
    pub fail_if_key_exists: bool,
    /// Whether the lock is granted whoever holds it (SEIZE). The holder has then lost it.
    pub seize: bool,
    /// The tag of a value that the caller could not decode.
    pub refuse: Option<Tag>,
    /// The state of a shared key that the caller considers stale. A state of exactly these bytes is taken over.
    pub stale: Option<Bytes>,
    /// The process that sends the request.
    pub origin: Origin,
    /// The maximum length of the entry of a hit.
    pub bound: usize,
}

/// Extends the lease to its full length.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Renew {
    /// The holder's grant.
    pub id: Id,
    /// The lease, in milliseconds.
    pub lease: u64,
}

/// Releases the lock and leaves the key COMPUTED.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Publish {
    /// The holder's grant.
    pub id: Id,
    /// The expiry of the result, in milliseconds.
    pub ttl: u64,
    /// The duration of the computation, in milliseconds.
    pub took: u64,
    /// The encoded value; `None` leaves the key COMPUTED without a value. A shared key keeps none.
    pub payload: Option<Bytes>,
    /// What the payload is.
    pub flag: Flag,
    /// The bytes that follow the payload if the pool has a secret.
    pub signature: Option<[u8; 32]>,
    /// The process that publishes.
    pub origin: Origin,
}

/// Releases the lock. The key is free afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Release {
    /// The holder's grant.
    pub id: Id,
    /// The request was sent before, so its first copy may have released the lock.
    pub was_sent: bool,
}

/// A store's reply to a [`Request`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// There is no computed value; to DESCRIBE, there is no entry.
    Miss,
    /// The entry is longer than the bound of the read.
    TooLong,
    /// The computed value, and its remaining milliseconds if the request looks them up.
    Hit(Hit, Option<u64>),
    /// The lock is granted to the call with this tag.
    Acquired(Id),
    /// Another call holds the lock.
    Busy(Existing),
    /// `fail_if_key_exists` is set and the key exists. To DESCRIBE, the key is computed without a value, or with one above the
    /// bound.
    Exists(Existing),
    /// The key is COMPUTED, and keeps no value.
    Computed,
    /// The same call has already published, or released.
    Done,
    /// The entry is not one of this format. It is unchanged.
    Bad(BadState),
    /// The lease has its full length again.
    Renewed,
    /// The caller does not hold the lock. Nothing was changed.
    Lost,
    /// The key is COMPUTED.
    Published,
    /// The key is free.
    Released,
    /// Whether the caller held the lock.
    Aborted(bool),
    /// Whether the key had an entry.
    Deleted(bool),
}

impl Reply {
    /// Whether this may be the reply to a read of this key. A damaged value, or one of another key, may also be the reply to
    /// another read.
    pub(crate) fn may_be_of(&self, key: &Key) -> bool {
        match self {
            Self::Hit(hit, _) => hit.is_of(&key.check()),
            _ => true,
        }
    }
}

/// What a caller learns about the grant that has the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Existing {
    /// The holder's line: the state of a shared key, or head and header.
    pub line: Bytes,
    /// Milliseconds until the entry expires.
    pub remaining: Option<u64>,
    /// The store's clock, in microseconds since 1970.
    pub now: u64,
}

impl Request {
    /// The maximum length of an entry that the reply may contain.
    pub fn bound(&self) -> usize {
        match self {
            Self::Read(read) | Self::Describe(read) => read.bound,
            Self::Acquire(acquire) => acquire.bound,
            _ => 0,
        }
    }
}
