//! The shipped protocol, or one that is spoilt in one place: what is true of it must not be true of these.

use std::cell::RefCell;
use std::collections::HashMap;

use bytes::Bytes;
use dspinlock_runtime::internals::protocol::record::{Record, Slot};
use dspinlock_runtime::internals::protocol::state::State;
use dspinlock_runtime::internals::protocol::value::Value;
use dspinlock_runtime::internals::protocol::{self, Reply, Request};

use crate::kept::Kept;

type Asked = (Rule, Kept, u64, Request);

thread_local! {
    static STEPS: RefCell<HashMap<Asked, (Kept, Reply)>> = RefCell::default();
}

/// What a store does with a request. Every rule calls the shipped [`protocol::step`]; the spoilt ones change what goes
/// in or what comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// As it ships.
    Shipped,
    /// A publish needs the tag alone.
    PublishByTag,
    /// A publish needs the fence alone.
    PublishByFence,
    /// A publish needs nothing.
    PublishBlindly,
    /// A publish is allowed where there is no state.
    PublishWithoutState,
    /// An invalidation leaves a lock that is held alone.
    DeleteSparesHolders,
    /// The fence is a counter in the record, as INCR would keep it.
    CountedFence,
    /// A value is visible with anybody's COMPUTED state.
    ValueOfAnyTag,
}

impl Rule {
    /// Takes one step, or remembers it: the same one is asked for in thousands of states, and it is a pure function.
    pub fn step(self, kept: Kept, now: u64, request: Request) -> (Kept, Reply) {
        STEPS.with_borrow_mut(|steps| {
            let asked = (self, kept, now, request);
            if let Some(step) = steps.get(&asked) {
                return step.clone();
            }
            let (record, reply) = self.take(kept.record(), now, &asked.3);
            let step = (Kept::of(record), reply);
            steps.insert(asked, step.clone());
            step
        })
    }

    fn take(self, record: Record, now: u64, request: &Request) -> (Record, Reply) {
        let record = record.at(now);
        match (self, request) {
            (Self::PublishByTag, Request::Publish(publish)) => {
                let mut publish = publish.clone();
                publish.fence = fence(&record).unwrap_or(publish.fence);
                protocol::step(record, now, &Request::Publish(publish))
            }
            (Self::PublishByFence, Request::Publish(publish)) if fence(&record) == Some(publish.fence) => {
                protocol::step(held(record, &publish.tag, publish.fence), now, request)
            }
            (Self::PublishBlindly, Request::Publish(publish)) => {
                protocol::step(held(record, &publish.tag, publish.fence), now, request)
            }
            (Self::PublishWithoutState, Request::Publish(publish)) if record.state == Slot::Absent => {
                protocol::step(held(record, &publish.tag, publish.fence), now, request)
            }
            (Self::DeleteSparesHolders, Request::Delete) if is_blocked(&record) => {
                (record, Reply::Deleted(true))
            }
            (Self::CountedFence, Request::Acquire(_)) => {
                let last = fence(&record).unwrap_or(0);
                count_on(record.clone(), protocol::step(record, now, request), last)
            }
            (Self::ValueOfAnyTag, Request::Read(_) | Request::Acquire(_)) => {
                match protocol::step(adopted(record.clone()), now, request) {
                    (_, hit @ Reply::Hit(..)) => (record, hit),
                    _ => protocol::step(record, now, request),
                }
            }
            _ => protocol::step(record, now, request),
        }
    }
}

/// The last fence in a record.
pub(crate) fn fence(record: &Record) -> Option<u64> {
    value(record).map(|value| value.header.fence)
}

/// What is in a slot, whatever its end.
pub(crate) fn content(slot: &Slot) -> Option<&Bytes> {
    match slot {
        Slot::Bytes { bytes, .. } => Some(bytes),
        _ => None,
    }
}

fn value(record: &Record) -> Option<Value> {
    content(&record.value).and_then(Value::parse)
}

fn state(record: &Record) -> Option<State<'_>> {
    content(&record.state).and_then(|bytes| State::parse(bytes).ok())
}

/// Whether somebody holds the lock.
pub(crate) fn is_blocked(record: &Record) -> bool {
    state(record).is_some_and(|state| !state.computed)
}

/// A state as somebody leaves it, without an end.
pub(crate) fn written(tag: &str, computed: bool) -> Slot {
    let state = State {
        tag,
        timestamp: 0,
        computed,
    };
    Slot::Bytes {
        bytes: state.to_string().into(),
        until: None,
    }
}

/// The record as if this tag and this fence held it.
fn held(mut record: Record, tag: &str, fence: u64) -> Record {
    record.state = written(tag, false);
    record.value = header(tag, fence);
    record
}

fn header(tag: &str, fence: u64) -> Slot {
    let header = format!(
        "{},{tag},{fence},-,0,0,0,0,0,0,0,,\n",
        dspinlock_runtime::internals::protocol::value::VERSION
    );
    Slot::Bytes {
        bytes: header.into(),
        until: None,
    }
}

/// A grant's fence becomes the number after the last one that the record knows.
fn count_on(before: Record, (mut after, reply): (Record, Reply), last: u64) -> (Record, Reply) {
    if !matches!(reply, Reply::Acquired(_)) || before.value == after.value {
        return (after, reply);
    }
    if let (Some(mut value), Slot::Bytes { bytes, .. }) = (value(&after), &mut after.value) {
        value.header.fence = last + 1;
        *bytes = value.print();
    }
    (after, Reply::Acquired(last + 1))
}

/// A COMPUTED state becomes the value's own.
fn adopted(mut record: Record) -> Record {
    let tag = value(&record)
        .and_then(|value| value.header.value)
        .map(|stored| stored.tag);
    if let Some(tag) = tag.filter(|_| state(&record).is_some_and(|state| state.computed)) {
        record.state = written(&tag, true);
    }
    record
}
