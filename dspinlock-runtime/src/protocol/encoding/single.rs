//! The encoding of a key that only this crate knows: kind, tag and fence in the first 33 bytes, then header and payload.

use bytes::Bytes;

use crate::key::Key;
use crate::protocol::header::{Facts, Layout, Origin};
use crate::protocol::record::{Entry, Record, Status, Stored};
use crate::protocol::request::{Existing, Publish};
use crate::protocol::state::BadState;
use crate::protocol::tag::{Head, Id, Kind};

pub(super) fn decode(entry: Entry, now: u64, bound: usize) -> Record {
    let remaining = entry.remaining(now);
    let (bytes, is_too_long) = match entry {
        Entry::Absent => return Record::without_grant(Status::Free),
        Entry::WrongType => return Record::without_grant(Status::Bad(BadState::Malformed)),
        Entry::Bytes { bytes, .. } => {
            let is_too_long = bytes.len() > bound;
            (bytes, is_too_long)
        }
        Entry::Long { head, .. } => (head, true),
    };
    let Some(Head { kind, id }) = Head::parse(&bytes) else {
        return Record::without_grant(Status::Bad(BadState::Malformed));
    };
    Record {
        status: match kind {
            Kind::Blocked => Status::Blocked(Some(id)),
            Kind::Value => Status::Computed(Some(id), Stored::Value(Layout::of(&bytes))),
            Kind::Mark => Status::Computed(Some(id), Stored::Mark),
        },
        bytes,
        remaining,
        is_too_long,
        may_be_stale: false,
    }
}

/// The entry of a lock that is held.
pub(super) fn blocked(id: Id, origin: &Origin) -> String {
    let kind = Kind::Blocked;
    format!("{}{}", Head { kind, id }, origin.blocked())
}

/// The entry of a result.
pub(crate) fn computed(key: &Key, publish: &Publish) -> Bytes {
    let kind = match publish.payload {
        Some(_) => Kind::Value,
        None => Kind::Mark,
    };
    let (head, header) = (Head { kind, id: publish.id }.to_string(), header(key, publish));
    let payload = publish.payload.as_deref().unwrap_or_default();
    let signature = publish.signature.as_ref().map_or(&[][..], |signature| signature);
    [head.as_bytes(), header.as_bytes(), payload, signature]
        .concat()
        .into()
}

/// The header of a result, which a signature covers.
pub(crate) fn header(key: &Key, publish: &Publish) -> String {
    let facts = Facts {
        took: publish.took,
        ttl: publish.ttl,
        stale_window: 0,
        checksum: publish.payload.as_deref().map_or(0, crc32fast::hash),
        key_check: key.check(),
        flag: publish.flag,
    };
    facts.header(&publish.origin)
}

/// The holder in a line, when it acquired the lock, in microseconds since 1970, and whether the key is computed.
pub(super) fn holder(existing: &Existing) -> Option<(Origin, u64, bool)> {
    let head = Head::parse(&existing.line)?;
    let header = existing.line.slice(Head::LENGTH..);
    let origin = Origin::parse(head.kind, &header)?;
    // A fence is the time of its grant.
    Some((origin, head.id.fence, head.kind != Kind::Blocked))
}
