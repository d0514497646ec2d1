//! The one entry that a store has for a key, and what an encoding makes of it. `protocol::step` sees the [`Record`] alone.

use bytes::Bytes;
use memchr::memchr;

use crate::protocol::header::{Layout, MAX_LINE};
use crate::protocol::request::{Acquire, Publish};
use crate::protocol::state::BadState;
use crate::protocol::tag::{Head, Id};

/// The entry of a key in a store.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Entry {
    /// The entry does not exist.
    #[default]
    Absent,
    /// The entry is not a string, for example a Redis list.
    WrongType,
    /// The entry is a string.
    Bytes {
        /// The content.
        bytes: Bytes,
        /// The expiry, in milliseconds since 1970.
        until: Option<u64>,
    },
    /// The entry is a string longer than the request's bound.
    Long {
        /// The first bytes, at least the whole header.
        head: Bytes,
        /// The expiry, in milliseconds since 1970.
        until: Option<u64>,
    },
}

impl Entry {
    /// The entry, or absent if it has expired at `now`, in microseconds since 1970.
    pub fn at(self, now: u64) -> Self {
        match self.until() {
            Some(until) if until < now / 1000 => Self::Absent,
            _ => self,
        }
    }

    /// The expiry, in milliseconds since 1970.
    pub fn until(&self) -> Option<u64> {
        match self {
            Self::Bytes { until, .. } | Self::Long { until, .. } => *until,
            Self::Absent | Self::WrongType => None,
        }
    }

    /// Milliseconds until the entry expires at `now`.
    pub(crate) fn remaining(&self, now: u64) -> Option<u64> {
        self.until().map(|until| until.saturating_sub(now / 1000))
    }

    /// The same content with this expiry.
    pub(crate) fn with_expiry(&self, deadline: u64) -> Self {
        let mut entry = self.clone();
        if let Self::Bytes { until, .. } | Self::Long { until, .. } = &mut entry {
            *until = Some(deadline);
        }
        entry
    }
}

/// The line of the holder in an entry, without its end: the state of a shared key, or head and header. Of a header without
/// an end the head alone remains, because the bytes of a value may follow.
pub(crate) fn line(entry: &Bytes) -> Bytes {
    let longest = &entry[..entry.len().min(MAX_LINE)];
    let end = memchr(b'\n', longest).unwrap_or_else(|| match Head::parse(longest) {
        Some(_) => Head::LENGTH,
        None => longest.len(),
    });
    entry.slice(..end)
}

/// What an entry means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Whether the key is held or computed.
    pub status: Status,
    /// The entry, or its beginning if it is too long.
    pub bytes: Bytes,
    /// Milliseconds until the entry expires; `None` if it has no expiry.
    pub remaining: Option<u64>,
    /// The entry is longer than the request's bound.
    pub is_too_long: bool,
    /// A waiter may take over a stale lock. If not, every lock ends with its lease.
    pub may_be_stale: bool,
}

impl Record {
    /// A record of no grant.
    pub(crate) fn without_grant(status: Status) -> Self {
        Self {
            status,
            bytes: Bytes::new(),
            remaining: None,
            is_too_long: false,
            may_be_stale: false,
        }
    }
}

/// Whether a key is held or computed. A grant of another program has no [`Id`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// There is no entry.
    Free,
    /// The lock is held.
    Blocked(Option<Id>),
    /// The key is computed.
    Computed(Option<Id>, Stored),
    /// The entry is not one of this format. Only DELETE changes it.
    Bad(BadState),
}

/// What a computed key keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// No value, because a shared key keeps none: COMPUTED is the whole answer.
    Unit,
    /// No value, because the site does not cache.
    Mark,
    /// A value. Its payload is cut if the entry is too long.
    Value(Layout),
}

/// How a step changes the entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write<'a> {
    /// Not at all.
    Nothing,
    /// The lock is held by this grant, for the lease of the request.
    Grant(Id, &'a Acquire),
    /// The entry expires in this many milliseconds.
    Expire(u64),
    /// The key is computed.
    Publish(&'a Publish),
    /// The entry is removed.
    Unlink,
}
