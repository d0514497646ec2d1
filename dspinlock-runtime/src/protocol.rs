//! The lock itself, as one pure function: `(Record, now, Request) → (Record, Reply)`. No I/O, no clock.
//!
//! The embedded store runs [`step`] inside a transaction; the Lua scripts of the Redis store mirror it branch by
//! branch; the contract tests hold both against each other.
//!
//! A grant and a publish must match both the tag and the fence: with the tag alone a delayed duplicate of a request, with
//! the fence alone a Python worker that writes unconditionally, lets a stale result overwrite a newer one.

pub mod record;
pub mod state;
pub mod value;

use bytes::Bytes;

use crate::protocol::record::{Record, Slot};
use crate::protocol::state::{BadState, State};
use crate::protocol::value::{Header, Hit, Holder, Line, MAX_FENCE, Stored, Value};

/// One atomic step that a store is asked to take.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Request {
    /// Is there a computed value?
    Read(Read),
    /// May I compute?
    Acquire(Acquire),
    /// I am still at it.
    Renew(Renew),
    /// I am done.
    Publish(Publish),
    /// I gave up.
    Abort {
        /// The tag of the call that gave up.
        tag: String,
    },
    /// Forget the key.
    Delete,
}

/// Asks for a computed value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Read {
    /// A Python worker may know the key: the state decides too.
    pub shared: bool,
    /// The greatest length of header and payload together.
    pub bound: usize,
}

/// Asks for the right to compute.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Acquire {
    /// A fresh one per call, the same when the same call is sent again.
    pub tag: String,
    /// In milliseconds.
    pub lease: u64,
    /// In milliseconds: the expiry given to a BLOCKED state that has none.
    pub max_block: u64,
    /// `cached_if_computed`.
    pub cached: bool,
    /// `fail_if_key_exists`.
    pub fail_if_key_exists: bool,
    /// A COMPUTED state without its value is of no use to this caller.
    pub want_value: bool,
    /// The tag of a value that this caller could not decode.
    pub refuse: Option<String>,
    /// The very bytes of a state that this caller judged stale.
    pub stale: Option<Bytes>,
    /// Who asks.
    pub holder: Holder,
    /// The greatest length of header and payload together.
    pub bound: usize,
}

/// Asks for another full lease.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Renew {
    /// The holder's tag.
    pub tag: String,
    /// The holder's fence.
    pub fence: u64,
    /// In milliseconds.
    pub lease: u64,
}

/// Asks to leave the key COMPUTED.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Publish {
    /// The holder's tag.
    pub tag: String,
    /// The holder's fence.
    pub fence: u64,
    /// How long the result stays, in milliseconds.
    pub ttl: u64,
    /// How long it took, in microseconds.
    pub took: u64,
    /// The encoded value; `None` leaves COMPUTED alone.
    pub payload: Option<Bytes>,
    /// Who publishes.
    pub holder: Holder,
}

/// What a store answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// No computed value.
    Miss,
    /// The computed value, and how long it stays in milliseconds, where that was looked up.
    Hit(Hit, Option<u64>),
    /// The lock is the caller's, under this fence.
    Acquired(u64),
    /// Another holds the lock.
    Busy(Busy),
    /// `fail_if_key_exists`: the key exists, for so many milliseconds more.
    Exists(Option<u64>),
    /// COMPUTED, and no value was asked for.
    Computed,
    /// This very call has published already.
    Done,
    /// The state is not one.
    Bad(BadState),
    /// A full lease again.
    Renewed,
    /// The lock is not, or no longer, the caller's. Nothing was touched.
    Lost,
    /// The key is COMPUTED.
    Published,
    /// Whether there was a lock to give up.
    Aborted(bool),
    /// Whether there was a state.
    Deleted(bool),
}

/// What a waiter learns of the holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Busy {
    /// The state's bytes, for a takeover.
    pub raw: Bytes,
    /// Milliseconds until the state is gone.
    pub left: Option<u64>,
    /// The store's clock, in microseconds since 1970.
    pub now: u64,
    /// The holder keeps no fence: a Python worker.
    pub foreign: bool,
}

/// Takes one step at `now` (microseconds since 1970, the store's clock).
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
    hit().map_or(Reply::Miss, |hit| Reply::Hit(hit, None))
}

fn acquire(record: Record, now: u64, request: &Acquire) -> (Record, Reply) {
    // Also of a value that is too long for this caller, the fence counts.
    let header = record.value.as_header();
    let last = header.map(|header| header.fence);
    let state = match record.state.as_state() {
        None => return grant(last, now, request),
        Some(Err(bad)) => return (record, Reply::Bad(bad)),
        Some(Ok(state)) => state,
    };
    let left = record.state.left(now);
    let mine = state.tag == request.tag;
    if !mine && request.fail_if_key_exists {
        return (record, Reply::Exists(left));
    }
    if state.computed {
        let own = |header: &Line<'_>| {
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
            Some(hit) => Reply::Hit(hit, left),
            _ if mine => Reply::Done,
            _ if request.cached && !request.want_value => Reply::Computed,
            _ => return grant(last, now, request),
        };
        return (record, reply);
    }
    match header {
        // The reply was lost, and the same request comes again.
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

/// A state without expiry is given one.
fn busy(mut record: Record, now: u64, request: &Acquire, foreign: bool) -> (Record, Reply) {
    let raw = record.state.bytes();
    if record.state.left(now).is_none() {
        record.state = Slot::Bytes {
            bytes: raw.clone(),
            until: Some(deadline(now, request.max_block)),
        };
    }
    let left = record.state.left(now);
    (
        record,
        Reply::Busy(Busy {
            raw,
            left,
            now,
            foreign,
        }),
    )
}

/// Both entries are written whole, until the same moment; a value that was there is gone.
fn grant(last: Option<u64>, now: u64, request: &Acquire) -> (Record, Reply) {
    let after = last.map_or(0, |fence| fence + 1);
    let fence = now.max(after).min(MAX_FENCE);
    let state = State {
        tag: &request.tag,
        stamp: now as i64,
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
        made: now,
        fresh_until: until,
        took: request.took,
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
        stamp: now as i64,
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

/// By tag alone: a dropped call knows no fence. The value stays, as the last fence, until its lease is over.
fn abort(mut record: Record, tag: &str) -> (Record, Reply) {
    let held = matches!(record.state.as_state(), Some(Ok(state)) if state.tag == tag && !state.computed);
    if held {
        record.state = Slot::Absent;
    }
    (record, Reply::Aborted(held))
}

/// The millisecond at which `milliseconds` from `now` are over.
fn deadline(now: u64, milliseconds: u64) -> u64 {
    (now / 1000).saturating_add(milliseconds)
}
