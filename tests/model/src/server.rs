//! The server of a model: one entry, a clock, and the history that the properties need.

use bytes::Bytes;
use dspinlock_runtime::internals::key::Format;
use dspinlock_runtime::internals::protocol::header::{Flag, Origin};
use dspinlock_runtime::internals::protocol::record::Entry;
use dspinlock_runtime::internals::protocol::tag::Id;
use dspinlock_runtime::internals::protocol::{Acquire, Publish, Read, Release, Renew, Reply, Request};

use crate::interned::EntryId;
use crate::mutation::{self, Mutation};

/// The clock at the start of a model, in microseconds since 1970.
const START: u64 = 1_000_000;

/// A ttl that is longer than every run of a model.
pub const FOREVER: u64 = 1_000_000;

/// Parameters of the requests.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The protocol that the server runs.
    pub mutation: Mutation,
    /// Duration of a lease in ticks (milliseconds). An entry expires on the tick after its last.
    pub lease: u64,
    /// The ttl of a result, in ticks.
    pub ttl: u64,
    /// `cached_if_computed`.
    pub cached: bool,
    /// The encoding. Python workers may use a shared key too.
    pub format: Format,
}

impl Settings {
    /// The unchanged protocol, a lease of one tick, and cached results that do not expire.
    pub const DEFAULT: Self = Self {
        mutation: Mutation::None,
        lease: 1,
        ttl: FOREVER,
        cached: true,
        format: Format::Single,
    };
}

/// One server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Server {
    /// The stored entry.
    pub entry: EntryId,
    /// Milliseconds since the start.
    pub tick: u64,
    /// One microsecond for each grant, because a step takes at least that long.
    micros: u64,
    /// What the properties compare with.
    pub history: History,
}

/// What has happened on a server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct History {
    /// Number of invalidations. A body computes the version that is current when it starts.
    pub version: u8,
    /// The greatest fence of all grants.
    pub fence: u64,
    /// When the lock of the newest result was acquired. For a Rust worker this is the fence.
    pub newest: u64,
    /// A grant had a fence that was not greater than every earlier one.
    pub fence_decreased: bool,
    /// A Rust worker has published over a newer result.
    pub stale_publish: bool,
    /// A caller received a result that was older than an invalidation or than another result.
    pub stale_hit: bool,
    /// A request other than DELETE and a grant has removed a result.
    pub removed_result: bool,
    /// A call was told that it has lost a lease that had not expired.
    pub lost_lease: bool,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            entry: EntryId::of(Entry::Absent),
            tick: 0,
            micros: 0,
            history: History::default(),
        }
    }
}

impl Server {
    /// The server's clock, in microseconds since 1970.
    pub fn now(&self) -> u64 {
        START + self.tick * 1000 + self.micros
    }

    /// Advances the clock by a millisecond.
    pub fn tick(&mut self) {
        self.tick += 1;
        self.entry = EntryId::of(self.entry.entry().at(self.now()));
    }

    /// Runs one step and updates the history.
    pub fn step(&mut self, settings: &Settings, request: &Request) -> Reply {
        let before = self.entry;
        let (after, reply) = settings
            .mutation
            .step(settings.format, before, self.now(), request.clone());
        match (&reply, request) {
            // A repeated ACQUIRE returns the first grant again and does not change the content.
            (Reply::Acquired(id), _)
                if mutation::content(&after.entry()) != mutation::content(&before.entry()) =>
            {
                self.history.fence_decreased |= id.fence <= self.history.fence;
                self.history.fence = self.history.fence.max(id.fence);
                self.micros += 1;
            }
            (Reply::Published, Request::Publish(publish)) => self.record_publish(publish.id.fence),
            (Reply::Hit(..), _) => self.history.stale_hit |= !self.is_current(&reply),
            (Reply::Deleted(_), _) => self.history.version += 1,
            (Reply::Aborted(_), _) => {
                let (before, after) = (before.entry(), after.entry());
                let had_result = before != Entry::Absent && !mutation::is_blocked(&before);
                self.history.removed_result |= had_result && after != before;
            }
            _ => {}
        }
        self.entry = after;
        reply
    }

    fn record_publish(&mut self, fence: u64) {
        self.history.stale_publish |= fence < self.history.newest;
        self.history.newest = self.history.newest.max(fence);
    }

    /// Whether READ returns nothing, or the newest result and no result older than the last invalidation.
    pub fn shows_only_current_values(&self, settings: &Settings) -> bool {
        let read = Request::Read(Read { bound: usize::MAX });
        let (_, reply) = settings
            .mutation
            .step(settings.format, self.entry, self.now(), read);
        !matches!(reply, Reply::Hit(..)) || self.is_current(&reply)
    }

    fn is_current(&self, hit: &Reply) -> bool {
        let Reply::Hit(hit, _) = hit else { return true };
        version(hit.payload()) >= self.history.version && hit.id.fence == self.history.newest
    }

    /// Whether the lock is held.
    pub fn is_blocked(&self) -> bool {
        mutation::is_blocked(&self.entry.entry())
    }

    /// Whether the lock is held by the call with this name.
    pub fn is_held_by(&self, name: &str) -> bool {
        self.is_blocked() && mutation::owner(&self.entry.entry()) == Some(mutation::tag(name))
    }

    /// Whether the lock is held and its lease will expire.
    pub fn will_expire(&self) -> bool {
        self.is_blocked() && self.entry.entry().until().is_some()
    }

    /// The last fence in the entry.
    pub fn fence(&self) -> Option<u64> {
        mutation::fence(&self.entry.entry())
    }

    /// Acquires the lock like py-dspinlock, which overwrites the state unconditionally. Returns the time of the grant.
    pub fn python_acquire(&mut self) -> u64 {
        let acquired_at = self.now();
        self.entry = EntryId::of(mutation::state_of_python(false));
        self.micros += 1;
        acquired_at
    }

    /// Releases the lock like py-dspinlock, which overwrites the state unconditionally.
    pub fn python_release(&mut self, acquired_at: u64) {
        self.entry = EntryId::of(mutation::state_of_python(true));
        self.history.newest = self.history.newest.max(acquired_at);
    }
}

/// The payload of a result of this version.
pub fn payload(version: u8) -> Bytes {
    Bytes::copy_from_slice(&[version])
}

/// The inverse of [`payload`].
pub fn version(payload: &[u8]) -> u8 {
    payload.first().copied().unwrap_or_default()
}

fn origin() -> Origin {
    Origin {
        process: 0,
        host: String::new(),
        site: String::new(),
        label: String::new(),
        check: None,
    }
}

impl Settings {
    /// An ACQUIRE request.
    pub fn acquire(&self, name: &str, stale: Option<Bytes>) -> Request {
        Request::Acquire(Acquire {
            tag: mutation::tag(name),
            lease: self.lease,
            max_block: self.lease,
            cached: self.cached,
            fail_if_key_exists: false,
            seize: false,
            refuse: None,
            stale,
            origin: origin(),
            bound: usize::MAX,
        })
    }

    /// A RENEW request.
    pub fn renew(&self, name: &str, fence: u64) -> Request {
        let tag = mutation::tag(name);
        Request::Renew(Renew {
            id: Id { tag, fence },
            lease: self.lease,
        })
    }

    /// A PUBLISH request, or a RELEASE of a key that keeps no result. `was_sent`: the request was sent before.
    pub fn publish(&self, name: &str, fence: u64, version: u8, was_sent: bool) -> Request {
        let tag = mutation::tag(name);
        let id = Id { tag, fence };
        if !self.cached && self.format == Format::Single {
            return Request::Release(Release { id, was_sent });
        }
        Request::Publish(Publish {
            id,
            ttl: self.ttl,
            took: 0,
            payload: self.cached.then(|| payload(version)),
            flag: Flag::Value,
            signature: None,
            origin: origin(),
        })
    }
}
