//! A reply or a record without what may differ from store to store: timestamps, and fences that contain them.

use std::fmt;

use bytes::Bytes;
use dspinlock_runtime::internals::protocol::record::{Record, Slot};
use dspinlock_runtime::internals::protocol::state::State;
use dspinlock_runtime::internals::protocol::value::{Header, Value};
use dspinlock_runtime::internals::protocol::{Reply, Request};

use super::op::{Grants, STEP};
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
                let (tag, fence) = (&hit.tag, self::fence(hit.fence, grants));
                let life = hit.is_intact().then_some(hit.life);
                format!(
                    "Hit({tag:?}, {fence}, {life:?}, {:?}, {})",
                    hit.payload,
                    time(*left)
                )
            }
            Reply::Acquired(fence) => format!("Acquired({})", self::fence(*fence, grants)),
            Reply::Busy(busy) => {
                let now = rig.now();
                let near = busy.now.abs_diff(now) < STEP * 1000 / 4;
                format!(
                    "Busy({}, {}, now: {near})",
                    state(&busy.raw),
                    time(busy.remaining)
                )
            }
            Reply::Exists(left) => format!("Exists({})", time(*left)),
            other => format!("{other:?}"),
        })
    }

    pub(crate) fn of_record(record: &Record, grants: &Grants, rig: &mut dyn Rig) -> Self {
        let now = rig.now() / 1000;
        let slot = |slot: &Slot, print: &dyn Fn(&Bytes) -> String| match slot {
            Slot::Bytes { bytes, until } => {
                let left = until.map(|until| until.saturating_sub(now));
                format!("{} for {}", print(bytes), time(left))
            }
            other => format!("{other:?}"),
        };
        let value = |bytes: &Bytes| match Value::parse(bytes) {
            Some(parsed) => self::value(&parsed, grants),
            None => format!("{bytes:?}"),
        };
        Self(format!(
            "{} | {}",
            slot(&record.state, &state),
            slot(&record.value, &value)
        ))
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

fn fence(fence: u64, grants: &Grants) -> String {
    grants
        .position(fence)
        .map_or_else(|| fence.to_string(), |position| format!("grant {position}"))
}

/// Omits the timestamp, unless a foreign write has set it. Foreign timestamps are from the distant past.
fn state(raw: &Bytes) -> String {
    match State::parse(raw) {
        Ok(state) if is_recent(state.timestamp.unsigned_abs()) => format!("{},{}", state.tag, state.computed),
        _ => format!("{raw:?}"),
    }
}

fn value(value: &Value, grants: &Grants) -> String {
    let mut header: Header = value.header.clone();
    let fence = |number: u64| self::fence(number, grants);
    let fences = (
        fence(header.fence),
        header.value.as_ref().map(|value| fence(value.fence)),
    );
    header.fence = 0;
    if let Some(value) = &mut header.value {
        value.fence = 0;
        if is_recent(value.created_at) {
            (value.created_at, value.fresh_until) = (0, 0);
        }
    }
    let header = header.to_string();
    format!("{} {fences:?} {:?}", header.trim_end(), value.payload)
}

/// Whether the time, in microseconds since 1970, is after 2019.
fn is_recent(timestamp: u64) -> bool {
    timestamp > 1_577_836_800_000_000
}
