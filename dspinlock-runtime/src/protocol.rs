//! The protocol of the lock, as one pure function: `(Record, now, Request) → (Record, Reply)`.
//!
//! The embedded store calls [`step`] inside a transaction. The Lua scripts of the Redis store mirror it branch by branch,
//! and the contract tests compare both. This module does no I/O and reads no clock.
//!
//! A publish must match both the tag and the fence of the grant. If only the tag had to match, a delayed duplicate of a
//! request could overwrite a newer result. If only the fence had to match, a publish could overwrite the state of a Python
//! worker, which writes no fence.

pub mod record;
pub mod state;
pub(crate) mod timestamp;
pub mod value;

use bytes::Bytes;

use crate::protocol::record::{Record, Slot};
use crate::protocol::state::{BadState, State};
use crate::protocol::value::{Header, HeaderRef, Hit, Holder, MAX_FENCE, Stored, Value};

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
    /// Releases the lock without a result.
    Abort {
        /// The holder's tag.
        tag: String,
    },
    /// Deletes the state and the value.
    Delete,
}

/// Reads the computed value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Read {
    /// Whether a Python worker may know the key. If so, the value must also match the state.
    pub shared: bool,
    /// The maximum length of header and payload together.
    pub bound: usize,
}

/// Acquires the lock, or returns the computed value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Acquire {
    /// The tag of the call. Every call has a new tag, and a retry has the same.
    pub tag: String,
    /// The lease, in milliseconds.
    pub lease: u64,
    /// The expiry of a BLOCKED state that has none, in milliseconds.
    pub max_block: u64,
    /// Whether a computed result is returned instead of the lock: `cached_if_computed`.
    pub cached: bool,
    /// Whether an existing key is an error: `fail_if_key_exists`.
    pub fail_if_key_exists: bool,
    /// Whether a COMPUTED state without a value counts as free.
    pub want_value: bool,
    /// The tag of a value that the caller could not decode.
    pub refuse: Option<String>,
    /// The bytes of a state that the caller considers stale. A state of exactly these bytes is taken over.
    pub stale: Option<Bytes>,
    /// The process that sends the request.
    pub holder: Holder,
    /// The maximum length of header and payload together.
    pub bound: usize,
}

/// Extends the lease to its full length.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Renew {
    /// The holder's tag.
    pub tag: String,
    /// The holder's fence.
    pub fence: u64,
    /// The lease, in milliseconds.
    pub lease: u64,
}

/// Releases the lock and leaves the key COMPUTED.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Publish {
    /// The holder's tag.
    pub tag: String,
    /// The holder's fence.
    pub fence: u64,
    /// The expiry of the result, in milliseconds.
    pub ttl: u64,
    /// The duration of the computation, in microseconds.
    pub elapsed: u64,
    /// The encoded value. `None` leaves a COMPUTED state without a value.
    pub payload: Option<Bytes>,
    /// The process that publishes.
    pub holder: Holder,
}

/// A store's reply to a [`Request`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// There is no computed value.
    Miss,
    /// There is no computed value that is within the bound of the read: the entry is longer.
    TooLong,
    /// The computed value, and its remaining milliseconds if the request looks them up.
    Hit(Hit, Option<u64>),
    /// The caller holds the lock, with this fence.
    Acquired(u64),
    /// Another call holds the lock.
    Busy(Busy),
    /// `fail_if_key_exists` is set and the key exists. The milliseconds until it expires, if it has an expiry.
    Exists(Option<u64>),
    /// The key is COMPUTED, and the caller does not want the value.
    Computed,
    /// The same call has already published.
    Done,
    /// The bytes of the state cannot be parsed. They are unchanged.
    Bad(BadState),
    /// The lease has its full length again.
    Renewed,
    /// The caller does not hold the lock. Nothing was changed.
    Lost,
    /// The key is COMPUTED.
    Published,
    /// Whether the caller held the lock.
    Aborted(bool),
    /// Whether the key had a state.
    Deleted(bool),
}

/// What a waiter needs to know about the holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Busy {
    /// The state's bytes, for a takeover.
    pub raw: Bytes,
    /// Milliseconds until the state expires.
    pub remaining: Option<u64>,
    /// The store's clock, in microseconds since 1970.
    pub now: u64,
    /// Whether the holder keeps no fence, as a Python worker does.
    pub foreign: bool,
}

/// Takes one step. `now` is the store's clock, in microseconds since 1970.
pub fn step(record: Record, now: u64, request: &Request) -> (Record, Reply) {
    let record = record.at(now);
    match request {
        Request::Read(request) => {
            let reply = read(&record, request);
            (record, reply)
        }
        Request::Acquire(request) => acquire(record, now, request),
        Request::Renew(request) => renew(record, now, request),
        Request::Publish(request) => publish(record, now, request),
        Request::Abort { tag } => abort(record, tag),
        Request::Delete => {
            let existed = record.state != Slot::Absent;
            (Record::default(), Reply::Deleted(existed))
        }
    }
}

fn read(record: &Record, request: &Read) -> Reply {
    let hit = || {
        let bytes = record.value.whole(request.bound)?;
        let header = record.value.as_header()?;
        let value = header.value?;
        let visible = match request.shared {
            false => value.fence == header.fence,
            true => {
                matches!(record.state.as_state()?, Ok(state) if state.computed && state.tag.as_bytes() == value.tag)
            }
        };
        visible.then(|| header.hit(bytes))?
    };
    match hit() {
        Some(hit) => Reply::Hit(hit, None),
        None if record.value.is_longer(request.bound) => Reply::TooLong,
        None => Reply::Miss,
    }
}

fn acquire(record: Record, now: u64, request: &Acquire) -> (Record, Reply) {
    // The fence counts even if the value is too long for this caller.
    let header = record.value.as_header();
    let last = header.map(|header| header.fence);
    let state = match record.state.as_state() {
        None => return grant(last, now, request),
        Some(Err(bad)) => return (record, Reply::Bad(bad)),
        Some(Ok(state)) => state,
    };
    let remaining = record.state.remaining(now);
    let mine = state.tag == request.tag;
    if !mine && request.fail_if_key_exists {
        return (record, Reply::Exists(remaining));
    }
    if state.computed {
        let own = |header: &HeaderRef<'_>| {
            header
                .value
                .is_some_and(|value| value.tag == state.tag.as_bytes())
        };
        let current = header.filter(own).zip(record.value.whole(request.bound));
        let refused = request.refuse.as_deref() == Some(state.tag);
        let hit = current
            .filter(|_| (mine || request.cached && !refused) && request.want_value)
            .and_then(|(header, bytes)| header.hit(bytes));
        let reply = match hit {
            Some(hit) => Reply::Hit(hit, remaining),
            _ if mine => Reply::Done,
            _ if request.cached && !request.want_value => Reply::Computed,
            _ => return grant(last, now, request),
        };
        return (record, reply);
    }
    match header {
        // A retry: the first reply was lost.
        Some(header) if mine && header.tag == request.tag.as_bytes() => {
            let reply = Reply::Acquired(header.fence);
            (record.until(deadline(now, request.lease)), reply)
        }
        _ if mine || request.stale.as_ref() == Some(&record.state.bytes()) => grant(last, now, request),
        header => {
            let foreign = header.is_none_or(|header| header.tag != state.tag.as_bytes());
            busy(record, now, request, foreign)
        }
    }
}

/// Sets an expiry if the state has none.
fn busy(mut record: Record, now: u64, request: &Acquire, foreign: bool) -> (Record, Reply) {
    let raw = record.state.bytes();
    if record.state.remaining(now).is_none() {
        record.state = Slot::Bytes {
            bytes: raw.clone(),
            until: Some(deadline(now, request.max_block)),
        };
    }
    let remaining = record.state.remaining(now);
    (
        record,
        Reply::Busy(Busy {
            raw,
            remaining,
            now,
            foreign,
        }),
    )
}

/// Writes both entries with the same expiry. An old value is overwritten.
fn grant(last: Option<u64>, now: u64, request: &Acquire) -> (Record, Reply) {
    let after = last.map_or(0, |fence| fence + 1);
    let fence = now.max(after).min(MAX_FENCE);
    let state = State {
        tag: &request.tag,
        timestamp: now as i64,
        computed: false,
    };
    let header = Header {
        tag: request.tag.clone(),
        fence,
        value: None,
        holder: request.holder.clone(),
    };
    let until = Some(deadline(now, request.lease));
    let record = Record {
        state: Slot::Bytes {
            bytes: state.to_string().into(),
            until,
        },
        value: Slot::Bytes {
            bytes: header.to_string().into(),
            until,
        },
    };
    (record, Reply::Acquired(fence))
}

fn renew(record: Record, now: u64, request: &Renew) -> (Record, Reply) {
    if !record.is_held(&request.tag, request.fence, false) {
        return (record, Reply::Lost);
    }
    (record.until(deadline(now, request.lease)), Reply::Renewed)
}

fn publish(record: Record, now: u64, request: &Publish) -> (Record, Reply) {
    if record.is_held(&request.tag, request.fence, true) {
        return (record, Reply::Done);
    }
    if !record.is_held(&request.tag, request.fence, false) {
        return (record, Reply::Lost);
    }
    let until = deadline(now, request.ttl);
    let stored = request.payload.as_ref().map(|payload| Stored {
        tag: request.tag.clone(),
        fence: request.fence,
        created_at: now,
        fresh_until: until,
        elapsed: request.elapsed,
        length: payload.len(),
        checksum: crc32fast::hash(payload),
    });
    let header = Header {
        tag: request.tag.clone(),
        fence: request.fence,
        value: stored,
        holder: request.holder.clone(),
    };
    let value = Value {
        header,
        payload: request.payload.clone().unwrap_or_default(),
    };
    let state = State {
        tag: &request.tag,
        timestamp: now as i64,
        computed: true,
    };
    let record = Record {
        state: Slot::Bytes {
            bytes: state.to_string().into(),
            until: Some(until),
        },
        value: Slot::Bytes {
            bytes: value.print(),
            until: Some(until),
        },
    };
    (record, Reply::Published)
}

/// Matches the tag alone, because a dropped call knows no fence. The value entry stays until the lease expires, because
/// it has the last fence.
fn abort(mut record: Record, tag: &str) -> (Record, Reply) {
    let held = matches!(record.state.as_state(), Some(Ok(state)) if state.tag == tag && !state.computed);
    if held {
        record.state = Slot::Absent;
    }
    (record, Reply::Aborted(held))
}

/// The millisecond since 1970 that is `milliseconds` after `now`.
fn deadline(now: u64, milliseconds: u64) -> u64 {
    (now / 1000).saturating_add(milliseconds)
}
