//! The protocol of the lock, as one pure function: `(Record, now, Request) → (Write, Reply)`.
//!
//! The embedded store calls [`apply`] inside a transaction: an encoding decodes the entry, [`step`] decides, and the
//! encoding writes. The Lua scripts of the Redis store mirror it branch by branch, and the contract tests compare both. This
//! module does no I/O and reads no clock.
//!
//! A publish must match both the tag and the fence of the grant. If only the tag had to match, a delayed duplicate of a
//! request could overwrite a newer result.
//!
//! Modules, top first: `encoding`, `record`, `request`, `header`, `state`, `tag`, `timestamp`, `status`. Imports point downwards.

pub(crate) mod encoding;
pub mod header;
pub mod record;
pub mod request;
pub mod state;
pub(crate) mod status;
pub mod tag;
pub(crate) mod timestamp;

use bytes::Bytes;

use crate::key::Key;
use crate::protocol::header::Hit;
use crate::protocol::record::{Entry, Record, Status, Stored, Write, line};
use crate::protocol::tag::{Id, MAX_FENCE};

pub use self::request::{Acquire, Existing, Publish, Read, Release, Renew, Reply, Request};

/// Takes one step on the entry of a key. `now` is the store's clock, in microseconds since 1970. The entry is `None` if the
/// step does not change it.
pub fn apply(key: &Key, entry: &Entry, now: u64, request: &Request) -> (Option<Entry>, Reply) {
    let (write, reply) = step(
        encoding::decode(key, entry.clone(), now, request.bound()),
        now,
        request,
    );
    (encoding::encode(key, entry, now, &write), reply)
}

/// READ on the bytes of an entry that has not expired.
pub fn read(key: &Key, bytes: Option<Bytes>, read: Read) -> Reply {
    let entry = bytes.map_or(Entry::Absent, |bytes| Entry::Bytes { bytes, until: None });
    value(encoding::decode(key, entry, 0, read.bound))
}

/// Decides one step.
pub fn step(record: Record, now: u64, request: &Request) -> (Write<'_>, Reply) {
    match request {
        Request::Read(_) => (Write::Nothing, value(record)),
        Request::Acquire(request) => acquire(record, now, request),
        Request::Renew(request) => match held(&record, request.id) {
            Held::Yes => (Write::Expire(request.lease), Reply::Renewed),
            _ => (Write::Nothing, Reply::Lost),
        },
        Request::Publish(request) => match held(&record, request.id) {
            Held::Yes => (Write::Publish(request), Reply::Published),
            Held::Computed => (Write::Nothing, Reply::Done),
            Held::No => (Write::Nothing, Reply::Lost),
        },
        Request::Release(request) => match held(&record, request.id) {
            Held::Yes => (Write::Unlink, Reply::Released),
            _ if request.was_sent => (Write::Nothing, Reply::Done),
            _ => (Write::Nothing, Reply::Lost),
        },
        Request::Abort { tag } => match record.status {
            Status::Blocked(Some(id)) if id.tag == *tag => (Write::Unlink, Reply::Aborted(true)),
            _ => (Write::Nothing, Reply::Aborted(false)),
        },
        Request::Delete => match record.status {
            Status::Free => (Write::Nothing, Reply::Deleted(false)),
            _ => (Write::Unlink, Reply::Deleted(true)),
        },
        Request::Describe(_) => (Write::Nothing, describe(record, now)),
    }
}

fn describe(record: Record, now: u64) -> Reply {
    let existing = Existing {
        line: line(&record.bytes),
        remaining: record.remaining,
        now,
    };
    match record.status {
        Status::Free => Reply::Miss,
        Status::Bad(bad) => Reply::Bad(bad),
        Status::Blocked(_) => Reply::Busy(existing),
        Status::Computed(Some(id), Stored::Value(layout)) if !record.is_too_long => {
            Reply::Hit(Hit::new(id, layout, record.bytes), record.remaining)
        }
        Status::Computed(..) => Reply::Exists(existing),
    }
}

fn value(record: Record) -> Reply {
    match record.status {
        Status::Blocked(_) | Status::Computed(..) if record.is_too_long => Reply::TooLong,
        Status::Computed(Some(id), Stored::Value(layout)) => {
            Reply::Hit(Hit::new(id, layout, record.bytes), None)
        }
        Status::Computed(_, Stored::Unit) => Reply::Computed,
        _ => Reply::Miss,
    }
}

fn acquire(record: Record, now: u64, request: &Acquire) -> (Write<'_>, Reply) {
    let (remaining, fits) = (record.remaining, !record.is_too_long);
    let existing = |remaining| Existing {
        line: line(&record.bytes),
        remaining,
        now,
    };
    let hit = |id, layout| Reply::Hit(Hit::new(id, layout, record.bytes.clone()), remaining);
    match record.status {
        Status::Free => grant(None, now, request),
        Status::Bad(bad) => (Write::Nothing, Reply::Bad(bad)),
        // A retry: the first reply was lost.
        Status::Blocked(Some(id)) if id.tag == request.tag => {
            (Write::Expire(request.lease), Reply::Acquired(id))
        }
        Status::Computed(Some(id), Stored::Value(layout)) if fits && id.tag == request.tag => {
            (Write::Nothing, hit(id, layout))
        }
        Status::Computed(Some(id), _) if id.tag == request.tag => (Write::Nothing, Reply::Done),
        Status::Blocked(id) | Status::Computed(id, _) if request.seize => grant(id, now, request),
        _ if request.fail_if_key_exists => (Write::Nothing, Reply::Exists(existing(remaining))),
        Status::Computed(Some(id), Stored::Value(layout))
            if fits && request.cached && request.refuse != Some(id.tag) =>
        {
            (Write::Nothing, hit(id, layout))
        }
        Status::Computed(_, Stored::Unit) if request.cached => (Write::Nothing, Reply::Computed),
        Status::Computed(id, _) => grant(id, now, request),
        Status::Blocked(id)
            if record.may_be_stale && request.stale.as_ref() == Some(&line(&record.bytes)) =>
        {
            grant(id, now, request)
        }
        Status::Blocked(_) => match remaining {
            Some(_) => (Write::Nothing, Reply::Busy(existing(remaining))),
            None => (
                Write::Expire(request.max_block),
                Reply::Busy(existing(Some(request.max_block))),
            ),
        },
    }
}

/// Overwrites the entry. The fence is the time, and greater than the last one.
fn grant(last: Option<Id>, now: u64, request: &Acquire) -> (Write<'_>, Reply) {
    let after = last.map_or(0, |last| last.fence + 1);
    let id = Id {
        tag: request.tag,
        fence: now.max(after).min(MAX_FENCE),
    };
    (Write::Grant(id, request), Reply::Acquired(id))
}

/// Whether a grant has the key.
enum Held {
    Yes,
    /// It has published.
    Computed,
    No,
}

fn held(record: &Record, id: Id) -> Held {
    match record.status {
        Status::Blocked(Some(holder)) if holder == id => Held::Yes,
        Status::Computed(Some(holder), _) if holder == id => Held::Computed,
        _ => Held::No,
    }
}
