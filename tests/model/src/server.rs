//! The store of a model: one record under the protocol's rule, a small clock, and what has been so far.

use bytes::Bytes;
use dspinlock_runtime::internals::protocol::record::{Record, Slot};
use dspinlock_runtime::internals::protocol::value::Holder;
use dspinlock_runtime::internals::protocol::{Acquire, Publish, Read, Renew, Reply, Request};

use crate::kept::Kept;
use crate::rule::{self, Rule};

/// Microseconds since 1970 when a model begins.
const BEGIN: u64 = 1_000_000;

/// A result that lives longer than any model looks.
pub const FOR_EVER: u64 = 1_000_000;

/// How the steps are asked for.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// What the store does.
    pub rule: Rule,
    /// Ticks (milliseconds) of a lease. An entry lives until the tick after its last.
    pub lease: u64,
    /// Ticks of a result.
    pub ttl: u64,
    /// `cached_if_computed`.
    pub cached: bool,
    /// A Python worker may know the key.
    pub shared: bool,
}

/// One server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Server {
    /// What is kept.
    pub record: Kept,
    /// Milliseconds since the model began.
    pub tick: u64,
    /// A microsecond for each lock that was taken: no server takes two steps in less.
    taken: u64,
    /// What has been so far.
    pub past: Past,
}

/// What a promise is judged by.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Past {
    /// How many invalidations were processed: the version of what a body reads.
    pub version: u8,
    /// The greatest fence that was granted.
    pub fence: u64,
    /// When the lock of the newest result was taken; a Rust worker's is its fence.
    pub newest: u64,
    /// A grant had a fence that was not greater than all before.
    pub fence_fell: bool,
    /// A Rust worker's result was kept though a newer one had been.
    pub stale_publish: bool,
    /// A caller was handed a result older than an invalidation, or than another result.
    pub old_hit: bool,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            record: Kept::of(Record::default()),
            tick: 0,
            taken: 0,
            past: Past::default(),
        }
    }
}

impl Server {
    /// The server's clock, in microseconds.
    pub fn now(&self) -> u64 {
        BEGIN + self.tick * 1000 + self.taken
    }

    /// A millisecond is over.
    pub fn tick(&mut self) {
        self.tick += 1;
        self.record = Kept::of(self.record.record().at(self.now()));
    }

    /// Takes one step and remembers what it did.
    pub fn step(&mut self, terms: &Terms, request: &Request) -> Reply {
        let before = self.record;
        let (after, reply) = terms.rule.step(before, self.now(), request.clone());
        match (&reply, request) {
            // Not where a grant whose reply was lost is answered again.
            (Reply::Acquired(fence), _) if after.value() != before.value() => {
                self.past.fence_fell |= *fence <= self.past.fence;
                self.past.fence = self.past.fence.max(*fence);
                self.taken += 1;
            }
            (Reply::Published, Request::Publish(publish)) => self.published(publish.fence),
            (Reply::Hit(..), _) => self.past.old_hit |= !self.is_current(&reply),
            (Reply::Deleted(_), _) => self.past.version += 1,
            _ => {}
        }
        self.record = after;
        reply
    }

    fn published(&mut self, fence: u64) {
        self.past.stale_publish |= fence < self.past.newest;
        self.past.newest = self.past.newest.max(fence);
    }

    /// What a READ would show is the newest result, and no older than the last invalidation.
    pub fn shows_only_what_is_current(&self, terms: &Terms) -> bool {
        let read = Request::Read(Read {
            shared: terms.shared,
            bound: usize::MAX,
        });
        let (_, reply) = terms.rule.step(self.record, self.now(), read);
        !matches!(reply, Reply::Hit(..)) || self.is_current(&reply)
    }

    fn is_current(&self, hit: &Reply) -> bool {
        let Reply::Hit(hit, _) = hit else { return true };
        version(&hit.payload) >= self.past.version && hit.fence == self.past.newest
    }

    /// Somebody holds the lock.
    pub fn is_blocked(&self) -> bool {
        rule::is_blocked(&self.record.record())
    }

    /// Somebody holds the lock, and not for ever.
    pub fn will_lapse(&self) -> bool {
        let until = match self.record.record().state {
            Slot::Bytes { until, .. } => until,
            _ => None,
        };
        self.is_blocked() && until.is_some()
    }

    /// The last fence that the record knows.
    pub fn fence(&self) -> Option<u64> {
        rule::fence(&self.record.record())
    }

    /// py-dspinlock takes the lock: it writes the state, whoever holds it. Returns when.
    pub fn python_takes(&mut self) -> u64 {
        let taken = self.now();
        self.write_state(rule::written("python", false));
        self.taken += 1;
        taken
    }

    fn write_state(&mut self, state: Slot) {
        let value = self.record.record().value;
        self.record = Kept::of(Record { state, value });
    }

    /// py-dspinlock releases what it took then: it writes the state, whoever holds it.
    pub fn python_releases(&mut self, taken: u64) {
        self.write_state(rule::written("python", true));
        self.past.newest = self.past.newest.max(taken);
    }
}

/// A result of a body that began when so many invalidations had been processed.
pub fn payload(version: u8) -> Bytes {
    Bytes::copy_from_slice(&[version])
}

/// The inverse of [`payload`].
pub fn version(payload: &[u8]) -> u8 {
    payload.first().copied().unwrap_or_default()
}

fn holder() -> Holder {
    Holder {
        process: 0,
        host: String::new(),
        site: String::new(),
    }
}

impl Terms {
    /// May I compute?
    pub fn acquire(&self, tag: &str, stale: Option<Bytes>) -> Request {
        Request::Acquire(Acquire {
            tag: tag.into(),
            lease: self.lease,
            max_block: self.lease,
            cached: self.cached,
            fail_if_key_exists: false,
            want_value: self.cached,
            refuse: None,
            stale,
            holder: holder(),
            bound: usize::MAX,
        })
    }

    /// I am still at it.
    pub fn renew(&self, tag: &str, fence: u64) -> Request {
        Request::Renew(Renew {
            tag: tag.into(),
            fence,
            lease: self.lease,
        })
    }

    /// I am done.
    pub fn publish(&self, tag: &str, fence: u64, version: u8) -> Request {
        Request::Publish(Publish {
            tag: tag.into(),
            fence,
            ttl: self.ttl,
            elapsed: 0,
            payload: self.cached.then(|| payload(version)),
            holder: holder(),
        })
    }
}
