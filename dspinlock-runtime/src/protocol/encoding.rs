//! The two encodings of a record: `shared` for keys that Python may know, `single` for all others.
//!
//! An encoding translates entry ↔ [`Record`] and [`Write`] → entry, and knows nothing else. It decides nothing.

pub(crate) mod shared;
pub(crate) mod single;

use std::time::Duration;

use crate::error::Holder;
use crate::key::{Format, Key};
use crate::protocol::record::{Entry, Record, Write};
use crate::protocol::request::Existing;

/// What the entry of a key means at `now`. A value longer than `bound` is too long.
pub(crate) fn decode(key: &Key, entry: Entry, now: u64, bound: usize) -> Record {
    match key.format() {
        Format::Shared => shared::decode(entry, now),
        Format::Single => single::decode(entry, now, bound),
    }
}

/// The entry after a write; `None` if it does not change.
pub(crate) fn encode(key: &Key, entry: &Entry, now: u64, write: &Write<'_>) -> Option<Entry> {
    let (bytes, lifetime) = match (write, key.format()) {
        (Write::Nothing, _) => return None,
        (Write::Unlink, _) => return Some(Entry::Absent),
        (Write::Expire(lifetime), _) => return Some(entry.with_expiry(deadline(now, *lifetime))),
        (Write::Grant(id, acquire), Format::Single) => {
            (single::blocked(*id, &acquire.origin).into(), acquire.lease)
        }
        (Write::Grant(id, acquire), Format::Shared) => {
            (shared::blocked(*id, &acquire.origin, now).into(), acquire.lease)
        }
        (Write::Publish(publish), Format::Single) => (single::computed(key, publish), publish.ttl),
        (Write::Publish(publish), Format::Shared) => (shared::computed(entry, now)?.into(), publish.ttl),
    };
    Some(Entry::Bytes {
        bytes,
        until: Some(deadline(now, lifetime)),
    })
}

/// The holder, for a message. `None` if another program holds the key.
pub(crate) fn holder(key: &Key, existing: &Existing) -> Option<Holder> {
    let (origin, since) = match key.format() {
        Format::Shared => shared::holder(&existing.line)?,
        Format::Single => single::holder(existing)?,
    };
    let held_for = Duration::from_micros(existing.now.saturating_sub(since));
    Some(Holder::new(
        origin.site,
        origin.host,
        origin.process,
        held_for,
        existing.remaining.map(Duration::from_millis),
    ))
}

/// The millisecond since 1970 that is `milliseconds` after `now`.
fn deadline(now: u64, milliseconds: u64) -> u64 {
    (now / 1000).saturating_add(milliseconds)
}
