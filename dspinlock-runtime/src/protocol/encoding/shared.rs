//! The encoding that py-dspinlock shares: `<tag>,<timestamp>,<0 or 1>`. It keeps no value.
//!
//! To Python a tag is opaque. Ours is `<tag>.<fence>.<process id>@<host>`; every other one belongs to another program.

use crate::protocol::header::Origin;
use crate::protocol::record::{Entry, Record, Status, Stored};
use crate::protocol::state::{BadState, MAX_TAG, State};
use crate::protocol::tag::Id;

/// The length of a tag, a dot and a fence.
const ID: usize = 33;

pub(super) fn decode(entry: Entry, now: u64) -> Record {
    let remaining = entry.remaining(now);
    let bytes = match entry {
        Entry::Absent => return Record::without_grant(Status::Free),
        Entry::WrongType | Entry::Long { .. } => {
            return Record::without_grant(Status::Bad(BadState::Malformed));
        }
        Entry::Bytes { bytes, .. } => bytes,
    };
    let status = match State::parse(&bytes) {
        Err(bad) => return Record::without_grant(Status::Bad(bad)),
        Ok(state) => {
            let id = own(state.tag).map(|(id, _)| id);
            match state.computed {
                true => Status::Computed(id, Stored::Unit),
                false => Status::Blocked(id),
            }
        }
    };
    Record {
        status,
        bytes,
        remaining,
        is_too_long: false,
        may_be_stale: true,
    }
}

/// The grant in a tag of this crate, and its process and host.
fn own(tag: &str) -> Option<(Id, &str)> {
    let (id, origin) = tag.split_at_checked(ID)?;
    Some((Id::parse(id.as_bytes(), b".")?, origin.strip_prefix('.')?))
}

/// The whole tag of a grant.
pub(crate) fn tag(id: Id, origin: &Origin) -> String {
    format!("{}.{:016}.{}", id.tag, id.fence, suffix(origin))
}

/// Process and host, as far as a tag has room for them.
pub(crate) fn suffix(origin: &Origin) -> String {
    let is_printable = |c: char| c.is_ascii_graphic() && c != ',';
    let mut text: String = origin
        .to_string()
        .chars()
        .map(|c| if is_printable(c) { c } else { '?' })
        .collect();
    text.truncate(MAX_TAG - ID - 1);
    text
}

/// The state of a lock that is held.
pub(super) fn blocked(id: Id, origin: &Origin, now: u64) -> String {
    print(&tag(id, origin), now, false)
}

/// The state of a result: only its time and its number differ from those of the grant.
pub(super) fn computed(entry: &Entry, now: u64) -> Option<String> {
    let Entry::Bytes { bytes, .. } = entry else {
        return None;
    };
    State::parse(bytes).ok().map(|state| print(state.tag, now, true))
}

fn print(tag: &str, now: u64, computed: bool) -> String {
    State {
        tag,
        timestamp: now as i64,
        computed,
    }
    .to_string()
}

/// The holder in a state, when it wrote the state, in microseconds since 1970, and whether the state is COMPUTED.
pub(super) fn holder(state: &[u8]) -> Option<(Origin, u64, bool)> {
    let state = State::parse(state).ok()?;
    let (process, host) = own(state.tag)?.1.split_once('@')?;
    let origin = Origin {
        process: process.parse().ok()?,
        host: host.into(),
        site: String::new(),
        label: String::new(),
        check: None,
    };
    Some((origin, u64::try_from(state.timestamp).ok()?, state.computed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::tag::Tag;

    #[test]
    fn a_tag_of_this_crate_has_its_grant_and_every_other_one_is_foreign() {
        let id = Id {
            tag: Tag::parse(b"Abc-_0123456789x").expect("a tag"),
            fence: 7,
        };
        let long = Origin::new(u32::MAX, &"é ".repeat(40), "site");
        let text = tag(id, &long);
        assert!(text.len() <= MAX_TAG && State::parse(print(&text, 8, false).as_bytes()).is_ok());
        assert_eq!(own(&text).map(|(id, _)| id), Some(id));
        assert_eq!(
            tag(id, &Origin::new(1, "h", "")),
            "Abc-_0123456789x.0000000000000007.1@h"
        );
        for foreign in [
            "",
            "0d9ef2f7-5ed4-4c4c-9e93-0000000000000000",
            "Abc-_0123456789x.0000000000000007",
            "Abc-_0123456789x.9007199254740992.1@h",
            "Abc-_012345678.x.0000000000000007.1@h",
        ] {
            assert_eq!(own(foreign), None, "{foreign}");
        }
    }
}
