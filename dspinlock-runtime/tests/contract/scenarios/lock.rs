//! One key on a rig, and the helpers of the scenarios.

use bytes::Bytes;
use dspinlock_runtime::internals::key::Key;
use dspinlock_runtime::internals::protocol::record::{Record, Slot};
use dspinlock_runtime::internals::protocol::value::{Hit, Holder, MAX_HEADER, Value};
use dspinlock_runtime::internals::protocol::{Acquire, Busy, Publish, Read, Renew, Reply, Request};

use crate::rig::{Entry, Foreign, Rig, fresh_key};

/// The durations, in milliseconds, are so long that a slow machine changes no result.
pub(crate) const LEASE: u64 = 3_600_000;
pub(crate) const TTL: u64 = 2 * LEASE;
pub(crate) const MAX_BLOCK: u64 = 3 * LEASE;
/// How much of a duration may have passed already, in milliseconds.
const STALL: u64 = 600_000;

/// Longer than every lease and shorter than every ttl.
pub(crate) const AFTER_LEASE: u64 = LEASE + STALL;

pub(crate) struct Lock<'a> {
    pub(crate) rig: &'a mut dyn Rig,
    pub(crate) key: Key,
}

impl<'a> Lock<'a> {
    pub(crate) fn new(rig: &'a mut dyn Rig) -> Self {
        Self {
            rig,
            key: fresh_key(),
        }
    }

    pub(crate) fn step(&mut self, request: Request) -> Reply {
        self.rig.step(&self.key, request)
    }

    /// Sends ACQUIRE with `cached_if_computed`.
    pub(crate) fn acquire(&mut self, tag: &str) -> Reply {
        self.acquire_with(tag, |_| {})
    }

    pub(crate) fn acquire_with(&mut self, tag: &str, change: impl FnOnce(&mut Acquire)) -> Reply {
        let mut request = acquire(tag);
        change(&mut request);
        self.step(Request::Acquire(request))
    }

    /// Acquires a free lock and returns the fence.
    pub(crate) fn grant(&mut self, tag: &str) -> u64 {
        let reply = self.acquire(tag);
        acquired(&reply)
    }

    pub(crate) fn renew(&mut self, tag: &str, fence: u64) -> Reply {
        self.step(Request::Renew(Renew {
            tag: tag.into(),
            fence,
            lease: LEASE,
        }))
    }

    pub(crate) fn publish(&mut self, tag: &str, fence: u64, payload: Option<&[u8]>) -> Reply {
        self.step(Request::Publish(Publish {
            tag: tag.into(),
            fence,
            ttl: TTL,
            elapsed: 1234,
            payload: payload.map(Bytes::copy_from_slice),
            holder: holder(),
        }))
    }

    /// Acquires a free lock, publishes, and returns the fence.
    pub(crate) fn compute(&mut self, tag: &str, payload: Option<&[u8]>) -> u64 {
        let fence = self.grant(tag);
        assert_eq!(self.publish(tag, fence, payload), Reply::Published);
        fence
    }

    pub(crate) fn abort(&mut self, tag: &str) -> Reply {
        self.step(Request::Abort { tag: tag.into() })
    }

    pub(crate) fn delete(&mut self) -> Reply {
        self.step(Request::Delete)
    }

    pub(crate) fn read(&mut self, shared: bool) -> Reply {
        self.read_within(shared, usize::MAX >> 1)
    }

    pub(crate) fn read_within(&mut self, shared: bool, bound: usize) -> Reply {
        self.step(Request::Read(Read { shared, bound }))
    }

    pub(crate) fn put_state(&mut self, text: impl Into<Bytes>, left: Option<u64>) {
        self.put(Entry::State, Foreign::Bytes(text.into(), left));
    }

    pub(crate) fn put_value(&mut self, text: impl Into<Bytes>, left: Option<u64>) {
        self.put(Entry::Value, Foreign::Bytes(text.into(), left));
    }

    pub(crate) fn put(&mut self, entry: Entry, content: Foreign) {
        self.rig.put(&self.key, entry, &content);
    }

    pub(crate) fn record(&mut self) -> Record {
        self.rig.record(&self.key)
    }

    /// The value in the store.
    pub(crate) fn value(&mut self) -> Value {
        Value::parse(&bytes(&self.record().value)).expect("a value")
    }

    /// The smallest bound that READ accepts for the value: its length including the header.
    pub(crate) fn size(&mut self) -> usize {
        let fits = |size: &usize| matches!(self.read_within(false, *size), Reply::Hit(..));
        (0..MAX_HEADER).find(fits).expect("a short value")
    }

    /// Milliseconds until state and value expire.
    pub(crate) fn remaining(&mut self) -> [Option<u64>; 2] {
        let (record, now) = (self.record(), self.rig.now() / 1000);
        [record.state, record.value].map(|slot| match slot {
            Slot::Bytes { until, .. } => until.map(|until| until - now),
            _ => None,
        })
    }

    /// Asserts that both entries expire at the same time, in about `expected` milliseconds.
    pub(crate) fn assert_both_remaining(&mut self, expected: u64) {
        let [state, value] = self.remaining();
        assert_remaining(state, expected);
        assert_remaining(value, expected);
        let record = self.record();
        self.assert_same_deadline(until(&record.state), until(&record.value));
    }

    /// Asserts that two deadlines are equal. A server computes each from the time of its own command.
    pub(crate) fn assert_same_deadline(&self, one: Option<u64>, other: Option<u64>) {
        let margin = if self.rig.is_exact() { 0 } else { 50 };
        let difference = one.zip(other).map(|(one, other)| one.abs_diff(other));
        assert!(
            difference.is_some_and(|difference| difference <= margin),
            "{one:?} {other:?}"
        );
    }

    /// Asserts that `action` does not change the record.
    pub(crate) fn assert_unchanged<T>(&mut self, action: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.record();
        let result = action(self);
        assert_eq!(self.record(), before, "the record was changed");
        result
    }
}

pub(crate) fn acquire(tag: &str) -> Acquire {
    Acquire {
        tag: tag.into(),
        lease: LEASE,
        max_block: MAX_BLOCK,
        cached: true,
        fail_if_key_exists: false,
        want_value: true,
        refuse: None,
        stale: None,
        holder: holder(),
        bound: 8 << 20,
    }
}

pub(crate) fn holder() -> Holder {
    Holder {
        process: 4711,
        host: "host".into(),
        site: "module::function<A, B>".into(),
    }
}

/// A state as another writer stores it.
pub(crate) fn state(tag: &str, number: &str) -> String {
    format!("{tag},2001-02-03T04:05:06.000007+00:00,{number}")
}

#[track_caller]
pub(crate) fn acquired(reply: &Reply) -> u64 {
    match reply {
        Reply::Acquired(fence) => *fence,
        other => panic!("expected Acquired, got {other:?}"),
    }
}

#[track_caller]
pub(crate) fn busy(reply: Reply) -> Busy {
    match reply {
        Reply::Busy(busy) => busy,
        other => panic!("expected Busy, got {other:?}"),
    }
}

#[track_caller]
pub(crate) fn hit(reply: Reply) -> (Hit, Option<u64>) {
    match reply {
        Reply::Hit(hit, left) => (hit, left),
        other => panic!("expected Hit, got {other:?}"),
    }
}

pub(crate) fn bytes(slot: &Slot) -> Bytes {
    match slot {
        Slot::Bytes { bytes, .. } => bytes.clone(),
        other => panic!("expected bytes, got {other:?}"),
    }
}

pub(crate) fn until(slot: &Slot) -> Option<u64> {
    match slot {
        Slot::Bytes { until, .. } => *until,
        other => panic!("expected bytes, got {other:?}"),
    }
}

#[track_caller]
pub(crate) fn assert_remaining(left: Option<u64>, expected: u64) {
    let left = left.expect("an expiry");
    assert!(
        left <= expected && left + STALL >= expected,
        "expires in {left} ms, expected {expected} ms"
    );
}
