//! The two encodings of a record: `shared` for keys that Python may know, `single` for all others.
//!
//! An encoding translates entry ↔ [`Record`] and [`Write`] → entry, and knows nothing else. It decides nothing.

pub(crate) mod shared;
pub(crate) mod single;

use std::time::Duration;

#[cfg(feature = "inspect")]
use bytes::Bytes;

use crate::error::{Holder, HolderFields};
use crate::key::{Format, Key};
use crate::protocol::header::Facts;
#[cfg(feature = "inspect")]
use crate::protocol::record;
use crate::protocol::record::{Entry, Record, Write};
use crate::protocol::request::Existing;
use crate::protocol::status::Status;
use crate::protocol::tag::Head;

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

/// The holder, or the caller that has computed the key, for a message. `None` if another program holds the key.
pub(crate) fn holder(key: &Key, existing: &Existing) -> Option<Holder> {
    let (origin, since, is_computed) = match key.format() {
        Format::Shared => shared::holder(&existing.line)?,
        Format::Single => single::holder(existing)?,
    };
    let held_for = Duration::from_micros(existing.now.saturating_sub(since));
    Some(Holder::new(HolderFields {
        site: origin.site,
        label: origin.label,
        host: origin.host,
        process_id: origin.process,
        held_for,
        lease_left: existing.remaining.map(Duration::from_millis),
        is_computed,
    }))
}

/// The state of a key, for its users.
pub(crate) fn status(key: &Key, existing: &Existing, is_computed: bool) -> Status {
    let holder = holder(key, existing);
    let remaining = existing.remaining.map(Duration::from_millis);
    if !is_computed {
        return Status::Held {
            holder,
            lease_left: remaining,
        };
    }
    let facts = match key.format() {
        Format::Shared => None,
        Format::Single => existing.line.get(Head::LENGTH..).and_then(Facts::of_line),
    };
    let age = match (&facts, &holder) {
        (Some(facts), _) => {
            remaining.map(|remaining| Duration::from_millis(facts.ttl).saturating_sub(remaining))
        }
        (None, holder) => holder.as_ref().map(Holder::held_for),
    };
    Status::Computed {
        by: holder,
        took: facts.map(|facts| Duration::from_millis(facts.took)),
        age,
        remaining,
    }
}

/// The fence in a holder's line. `None` if another program wrote it.
#[cfg(feature = "inspect")]
pub(crate) fn fence(key: &Key, line: Bytes) -> Option<u64> {
    let record = decode(
        key,
        Entry::Bytes {
            bytes: line,
            until: None,
        },
        0,
        0,
    );
    match record.status {
        record::Status::Blocked(id) | record::Status::Computed(id, _) => Some(id?.fence),
        _ => None,
    }
}

/// The millisecond since 1970 that is `milliseconds` after `now`.
fn deadline(now: u64, milliseconds: u64) -> u64 {
    (now / 1000).saturating_add(milliseconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::header::{Flag, Origin};
    use crate::protocol::record::line;
    use crate::protocol::request::{Acquire, Publish};
    use crate::protocol::tag::{Id, Tag};

    /// Microseconds since 1970.
    const NOW: u64 = 1_795_416_240_000_007;

    /// What another call learns one and a half seconds after the write.
    fn existing(key: &Key, entry: &Entry) -> Existing {
        let now = NOW + 1_500_000;
        let record = decode(key, entry.clone(), now, 1000);
        Existing {
            line: line(&record.bytes),
            remaining: record.remaining,
            now,
        }
    }

    #[test]
    fn a_line_names_the_holder() {
        let id = Id {
            tag: Tag::parse(b"tag-of-16-bytes_").expect("a tag"),
            fence: NOW,
        };
        let origin = Origin::new(4711, "web-1", "shop::price<A, B>");
        let acquire = Acquire {
            tag: id.tag,
            lease: 15_000,
            max_block: 60_000,
            cached: false,
            fail_if_key_exists: false,
            seize: false,
            refuse: None,
            stale: None,
            origin: origin.clone(),
            bound: 1000,
        };
        let publish = Publish {
            id,
            ttl: 60_000,
            took: 1000,
            payload: Some("payload".into()),
            flag: Flag::Value,
            signature: None,
            origin,
        };
        for (format, site) in [(Format::Single, "shop::price<A, B>"), (Format::Shared, "")] {
            let key = Key::new(format, "p".into(), [1; 32]);
            let held = encode(&key, &Entry::Absent, NOW, &Write::Grant(id, &acquire));
            let held = held.expect("a grant writes");
            let computed = encode(&key, &held, NOW, &Write::Publish(&publish)).expect("a publish writes");
            for (entry, left, is_held) in [(held, 13_500, true), (computed, 58_500, false)] {
                let holder = holder(&key, &existing(&key, &entry)).expect("a holder");
                assert_eq!((holder.site(), holder.host()), (site, "web-1"));
                assert_eq!(holder.process_id(), 4711);
                assert_eq!(holder.held_for(), Duration::from_millis(1500));
                assert_eq!(holder.lease_left(), Some(Duration::from_millis(left)));
                assert_eq!(holder.to_string().ends_with(", for 1.5s"), is_held, "{holder}");
            }
        }
    }

    #[test]
    fn a_header_without_an_end_shows_no_byte_of_the_value() {
        let key = Key::new(Format::Single, "p".into(), [1; 32]);
        let entry = "Vtag-of-16-bytes_00000000000000071,h,1,1,0,0,c,ok,,,secret";
        let bytes = entry.as_bytes().into();
        let existing = existing(&key, &Entry::Bytes { bytes, until: None });
        assert_eq!(existing.line, entry[..33]);
        assert_eq!(holder(&key, &existing), None);
    }

    #[test]
    fn the_line_of_another_program_names_no_holder() {
        let foreign = [
            (Format::Shared, "t,2026-01-02T03:04:05Z,0"),
            (
                Format::Shared,
                "tag-of-16-bytes_.0000000000000007.x@h,2026-01-02T03:04:05Z,0",
            ),
            (
                Format::Shared,
                "tag-of-16-bytes_.0000000000000007.1,2026-01-02T03:04:05Z,0",
            ),
            (
                Format::Shared,
                "tag-of-16-bytes_.0000000000000007.1@h,1926-01-02T03:04:05Z,0",
            ),
            (Format::Single, "Btag-of-16-bytes_0000000000000007x,h,,,site\n"),
            (Format::Single, "Btag-of-16-bytes_00000000000000071\n"),
            (Format::Single, "Vtag-of-16-bytes_00000000000000071,h,,,site\n"),
        ];
        for (format, line) in foreign {
            let key = Key::new(format, "p".into(), [1; 32]);
            let bytes = line.as_bytes().into();
            let existing = existing(&key, &Entry::Bytes { bytes, until: None });
            assert!(line.as_bytes().starts_with(&existing.line), "{line}");
            assert_eq!(holder(&key, &existing), None, "{line}");
        }
    }
}
