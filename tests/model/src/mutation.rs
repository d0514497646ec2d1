//! The library's protocol step, and mutations of it. The tests show that each mutation violates a property.

use std::cell::RefCell;
use std::collections::HashMap;

use bytes::Bytes;
use dspinlock_runtime::internals::protocol::record::{Record, Slot};
use dspinlock_runtime::internals::protocol::state::State;
use dspinlock_runtime::internals::protocol::value::Value;
use dspinlock_runtime::internals::protocol::{self, Reply, Request};

use crate::interned::RecordId;

type Input = (Mutation, RecordId, u64, Request);

thread_local! {
    static STEPS: RefCell<HashMap<Input, (RecordId, Reply)>> = RefCell::default();
}

/// A single change of the protocol. Every variant calls [`protocol::step`] and changes its input or its output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mutation {
    /// The unchanged protocol.
    None,
    /// PUBLISH compares only the tag.
    PublishByTag,
    /// PUBLISH compares only the fence.
    PublishByFence,
    /// PUBLISH compares nothing.
    PublishUnchecked,
    /// PUBLISH succeeds if there is no state.
    PublishWithoutState,
    /// DELETE keeps a state that is BLOCKED.
    DeleteKeepsBlocked,
    /// The fence is a counter in the record, like INCR.
    CountedFence,
    /// A value is visible under the COMPUTED state of any tag.
    ValueOfAnyTag,
}

impl Mutation {
    /// Runs one step. Results are memoized, because a step is a pure function and many states repeat it.
    pub fn step(self, record: RecordId, now: u64, request: Request) -> (RecordId, Reply) {
        STEPS.with_borrow_mut(|steps| {
            let input = (self, record, now, request);
            if let Some(output) = steps.get(&input) {
                return output.clone();
            }
            let (after, reply) = self.apply(record.record(), now, &input.3);
            let output = (RecordId::of(after), reply);
            steps.insert(input, output.clone());
            output
        })
    }

    fn apply(self, record: Record, now: u64, request: &Request) -> (Record, Reply) {
        let record = record.at(now);
        match (self, request) {
            (Self::PublishByTag, Request::Publish(publish)) => {
                let mut publish = publish.clone();
                publish.fence = fence(&record).unwrap_or(publish.fence);
                protocol::step(record, now, &Request::Publish(publish))
            }
            (Self::PublishByFence, Request::Publish(publish)) if fence(&record) == Some(publish.fence) => {
                protocol::step(held_by(record, &publish.tag, publish.fence), now, request)
            }
            (Self::PublishUnchecked, Request::Publish(publish)) => {
                protocol::step(held_by(record, &publish.tag, publish.fence), now, request)
            }
            (Self::PublishWithoutState, Request::Publish(publish)) if record.state == Slot::Absent => {
                protocol::step(held_by(record, &publish.tag, publish.fence), now, request)
            }
            (Self::DeleteKeepsBlocked, Request::Delete) if is_blocked(&record) => {
                (record, Reply::Deleted(true))
            }
            (Self::CountedFence, Request::Acquire(_)) => {
                let last = fence(&record).unwrap_or(0);
                count_fence(record.clone(), protocol::step(record, now, request), last)
            }
            (Self::ValueOfAnyTag, Request::Read(_) | Request::Acquire(_)) => {
                match protocol::step(with_tag_of_value(record.clone()), now, request) {
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

/// The bytes in a slot, without the expiry.
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

/// Whether the lock is held.
pub(crate) fn is_blocked(record: &Record) -> bool {
    state(record).is_some_and(|state| !state.computed)
}

/// A state without an expiry.
pub(crate) fn state_slot(tag: &str, computed: bool) -> Slot {
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

/// The record as if this tag held the lock under this fence.
fn held_by(mut record: Record, tag: &str, fence: u64) -> Record {
    record.state = state_slot(tag, false);
    record.value = header_slot(tag, fence);
    record
}

fn header_slot(tag: &str, fence: u64) -> Slot {
    let header = format!(
        "{},{tag},{fence},-,0,0,0,0,0,0,0,,\n",
        dspinlock_runtime::internals::protocol::value::VERSION
    );
    Slot::Bytes {
        bytes: header.into(),
        until: None,
    }
}

/// Replaces the fence of a grant by the successor of the record's last fence.
fn count_fence(before: Record, (mut after, reply): (Record, Reply), last: u64) -> (Record, Reply) {
    if !matches!(reply, Reply::Acquired(_)) || before.value == after.value {
        return (after, reply);
    }
    if let (Some(mut value), Slot::Bytes { bytes, .. }) = (value(&after), &mut after.value) {
        value.header.fence = last + 1;
        *bytes = value.print();
    }
    (after, Reply::Acquired(last + 1))
}

/// Replaces the tag of a COMPUTED state by the tag of the value.
fn with_tag_of_value(mut record: Record) -> Record {
    let tag = value(&record)
        .and_then(|value| value.header.value)
        .map(|stored| stored.tag);
    if let Some(tag) = tag.filter(|_| state(&record).is_some_and(|state| state.computed)) {
        record.state = state_slot(&tag, true);
    }
    record
}
