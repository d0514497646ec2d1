//! One key on a rig, and the helpers of the scenarios.

use bytes::Bytes;
use dspinlock_runtime::internals::key::{Format, Key};
use dspinlock_runtime::internals::protocol::header::{Flag, Hit, Origin};
use dspinlock_runtime::internals::protocol::record::Entry;
use dspinlock_runtime::internals::protocol::tag::{Id, Tag};
use dspinlock_runtime::internals::protocol::{
    Acquire, Existing, Publish, Read, Release, Renew, Reply, Request,
};

use crate::rig::{Foreign, Rig, fresh_key};

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
    pub(crate) fn new(rig: &'a mut dyn Rig, format: Format) -> Self {
        Self {
            rig,
            key: fresh_key(format),
        }
    }

    pub(crate) fn is_shared(&self) -> bool {
        self.key.format() == Format::Shared
    }

    pub(crate) fn step(&mut self, request: Request) -> Reply {
        self.rig.step(&self.key, request)
    }

    /// Sends ACQUIRE with `cached_if_computed`.
    pub(crate) fn acquire(&mut self, name: &str) -> Reply {
        self.acquire_with(name, |_| {})
    }

    pub(crate) fn acquire_with(&mut self, name: &str, change: impl FnOnce(&mut Acquire)) -> Reply {
        let mut request = acquire(name);
        change(&mut request);
        self.step(Request::Acquire(request))
    }

    /// Acquires a free lock.
    pub(crate) fn grant(&mut self, name: &str) -> Id {
        let reply = self.acquire(name);
        acquired(&reply)
    }

    pub(crate) fn renew(&mut self, id: Id) -> Reply {
        self.step(Request::Renew(Renew { id, lease: LEASE }))
    }

    pub(crate) fn publish(&mut self, id: Id, payload: Option<&[u8]>) -> Reply {
        self.step(Request::Publish(Publish {
            id,
            ttl: TTL,
            took: 1234,
            payload: payload.map(Bytes::copy_from_slice),
            flag: Flag::Value,
            signature: None,
            origin: origin(),
        }))
    }

    /// Acquires a free lock and publishes.
    pub(crate) fn compute(&mut self, name: &str, payload: Option<&[u8]>) -> Id {
        let id = self.grant(name);
        assert_eq!(self.publish(id, payload), Reply::Published);
        id
    }

    pub(crate) fn release(&mut self, id: Id, was_sent: bool) -> Reply {
        self.step(Request::Release(Release { id, was_sent }))
    }

    pub(crate) fn abort(&mut self, name: &str) -> Reply {
        self.step(Request::Abort { tag: tag(name) })
    }

    pub(crate) fn delete(&mut self) -> Reply {
        self.step(Request::Delete)
    }

    pub(crate) fn read(&mut self) -> Reply {
        self.read_within(usize::MAX >> 1)
    }

    pub(crate) fn read_within(&mut self, bound: usize) -> Reply {
        self.step(Request::Read(Read { bound }))
    }

    pub(crate) fn describe(&mut self, bound: usize) -> Reply {
        self.step(Request::Describe(Read { bound }))
    }

    /// Whether the key is computed, with this value if it keeps one.
    pub(crate) fn shows(&mut self, payload: &[u8]) -> bool {
        match self.read() {
            Reply::Hit(hit, None) => hit.payload() == payload && hit.is_intact(),
            Reply::Computed => self.is_shared(),
            _ => false,
        }
    }

    pub(crate) fn put_bytes(&mut self, text: impl Into<Bytes>, left: Option<u64>) {
        self.put(Foreign::Bytes(text.into(), left));
    }

    pub(crate) fn put(&mut self, content: Foreign) {
        self.rig.put(&self.key, &content);
    }

    /// A held lock as another process of this crate writes it.
    pub(crate) fn blocked(&self, id: Id) -> String {
        match self.key.format() {
            Format::Single => format!("B{id}1,host,,,site\n"),
            Format::Shared => state(&format!("{}.{:016}.1@host", id.tag, id.fence), "0"),
        }
    }

    pub(crate) fn entry(&mut self) -> Entry {
        self.rig.entry(&self.key)
    }

    pub(crate) fn bytes(&mut self) -> Bytes {
        match self.entry() {
            Entry::Bytes { bytes, .. } => bytes,
            other => panic!("expected bytes, got {other:?}"),
        }
    }

    /// The smallest bound that READ accepts for the value.
    pub(crate) fn size(&mut self) -> usize {
        let fits = |size: &usize| matches!(self.read_within(*size), Reply::Hit(..));
        (0..1000).find(fits).expect("a short value")
    }

    /// Asserts that the entry expires in about `expected` milliseconds.
    pub(crate) fn assert_expires_in(&mut self, expected: u64) {
        let (until, now) = (self.entry().until(), self.rig.now() / 1000);
        assert_remaining(until.map(|until| until - now), expected);
    }

    /// Asserts that `action` does not change the entry.
    pub(crate) fn assert_unchanged<T>(&mut self, action: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.entry();
        let result = action(self);
        assert_eq!(self.entry(), before, "the entry was changed");
        result
    }
}

/// A tag of 16 characters.
pub(crate) fn tag(name: &str) -> Tag {
    Tag::parse(format!("{name:_>16}").as_bytes()).expect("a tag")
}

pub(crate) fn acquire(name: &str) -> Acquire {
    Acquire {
        tag: tag(name),
        lease: LEASE,
        max_block: MAX_BLOCK,
        cached: true,
        fail_if_key_exists: false,
        seize: false,
        refuse: None,
        stale: None,
        origin: origin(),
        bound: 8 << 20,
    }
}

pub(crate) fn origin() -> Origin {
    Origin::new(4711, "host", "module::function<A, B>")
}

/// A state as another writer stores it.
pub(crate) fn state(tag: &str, number: &str) -> String {
    format!("{tag},2001-02-03T04:05:06.000007+00:00,{number}")
}

#[track_caller]
pub(crate) fn acquired(reply: &Reply) -> Id {
    match reply {
        Reply::Acquired(id) => *id,
        other => panic!("expected Acquired, got {other:?}"),
    }
}

#[track_caller]
pub(crate) fn busy(reply: Reply) -> Existing {
    match reply {
        Reply::Busy(existing) => existing,
        other => panic!("expected Busy, got {other:?}"),
    }
}

#[track_caller]
pub(crate) fn exists(reply: Reply) -> Existing {
    match reply {
        Reply::Exists(existing) => existing,
        other => panic!("expected Exists, got {other:?}"),
    }
}

#[track_caller]
pub(crate) fn hit(reply: Reply) -> (Hit, Option<u64>) {
    match reply {
        Reply::Hit(hit, left) => (hit, left),
        other => panic!("expected Hit, got {other:?}"),
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
