//! A reply or a record without what may differ from store to store: timestamps, and fences that contain them.

use std::fmt;

use dspinlock_runtime::internals::protocol::record::Entry;
use dspinlock_runtime::internals::protocol::state::State;
use dspinlock_runtime::internals::protocol::tag::{Head, Id};
use dspinlock_runtime::internals::protocol::{Existing, Reply, Request};

use super::op::{Grants, STEP, TAGS};
use crate::rig::Rig;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct View(String);

impl View {
    pub(crate) fn of(taken: &Option<(Request, Reply)>, grants: &Grants, rig: &mut dyn Rig) -> Self {
        let Some((_, reply)) = taken else {
            return Self("no step".into());
        };
        Self(match reply {
            Reply::Hit(hit, left) => {
                let (id, header) = (self::id(hit.id, grants), hit.header());
                format!("Hit({id}, {header:?}, {:?}, {})", hit.payload(), time(*left))
            }
            Reply::Acquired(id) => format!("Acquired({})", self::id(*id, grants)),
            Reply::Busy(existing) => format!("Busy({})", self::existing(existing, grants, rig)),
            Reply::Exists(existing) => format!("Exists({})", self::existing(existing, grants, rig)),
            other => format!("{other:?}"),
        })
    }

    pub(crate) fn of_entry(entry: &Entry, grants: &Grants, rig: &mut dyn Rig) -> Self {
        let now = rig.now() / 1000;
        Self(match entry {
            Entry::Bytes { bytes, until } => {
                let left = until.map(|until| until.saturating_sub(now));
                format!("{} for {}", text(bytes, grants), time(left))
            }
            other => format!("{other:?}"),
        })
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Rounds to half a step. A test takes much less time than that.
fn time(left: Option<u64>) -> String {
    left.map_or("ever".into(), |left| {
        format!("{}½", (left + STEP / 4) / (STEP / 2))
    })
}

fn existing(existing: &Existing, grants: &Grants, rig: &mut dyn Rig) -> String {
    let is_near = existing.now.abs_diff(rig.now()) < STEP * 1000 / 4;
    let line = text(&existing.line, grants);
    format!("{line}, {}, now: {is_near}", time(existing.remaining))
}

fn id(id: Id, grants: &Grants) -> String {
    format!("{}, {}", id.tag, fence(id.fence, grants))
}

fn fence(fence: u64, grants: &Grants) -> String {
    grants
        .position(fence)
        .map_or_else(|| fence.to_string(), |position| format!("grant {position}"))
}

/// Omits the timestamp of a state, unless a foreign write has set it, and names the fence by its grant.
fn text(bytes: &[u8], grants: &Grants) -> String {
    if let Ok(state) = State::parse(bytes)
        && is_recent(state.timestamp.unsigned_abs())
        && let Some(tag) = TAGS.iter().find(|tag| state.tag.starts_with(**tag))
    {
        let (digits, origin) = state.tag[tag.len() + 1..].split_once('.').unwrap_or_default();
        let fence = fence(digits.parse().unwrap_or_default(), grants);
        return format!("{tag}, {fence}, {origin}, {}", state.computed);
    }
    match Head::parse(bytes) {
        Some(head) => {
            let rest = String::from_utf8_lossy(&bytes[Head::LENGTH..]);
            format!("{:?}, {}, {rest:?}", head.kind, id(head.id, grants))
        }
        None => format!("{bytes:?}"),
    }
}

/// Whether the time, in microseconds since 1970, is after 2019.
fn is_recent(timestamp: u64) -> bool {
    timestamp > 1_577_836_800_000_000
}
