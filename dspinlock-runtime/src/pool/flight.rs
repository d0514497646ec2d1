//! Single flight: the calls of this process for the same key share one request.
//!
//! The first call of a flight is its leader and sends the request. It passes the reply to every follower that joined before
//! the request was sent. A later follower never receives that reply: it may have seen a newer value.
//! When the leader finishes or is dropped, the next follower in order of arrival becomes the leader. If a leader makes no
//! progress, one follower at a time probes the store, because the leader may run on a blocked thread, or may have lost the
//! lock. A probe that gets the value or the lock replaces the leader. A leader that waits on the background thread is not
//! probed, because nothing blocks it.
//!
//! ```text
//! Asking ── the lock is held by another process ──> Watching
//!    │                                                 │
//!    └──────── the lock is granted ──> Computing <─────┘
//! ```
//!
//! Each request needs a token, `Asked`, that was taken before it was sent. A publish takes one too. When the leadership
//! passes on, the next leader begins with Asking.
//!
//! `engine` and `lease` call this module. It sends no requests itself. `turn` counts how often the leaders hand a lock on.

mod turn;

use std::collections::VecDeque;
use std::collections::hash_map::{Entry, HashMap};
use std::fmt;
use std::hash::BuildHasher;
use std::time::Duration;

use bytes::Bytes;
use foldhash::fast::RandomState;

use self::turn::Turn;
use crate::key::Key;
use crate::protocol::header::{Check, Flag};
use crate::protocol::tag::{Id, Tag};
use crate::rt::handle::Handle;
use crate::rt::sync::{AtomicU64, Mutex, MutexGuard, Ordering, PoisonError, oneshot};

/// The number of locks, so that calls for different keys rarely contend.
const SHARDS: usize = 16;

/// A leader that makes no progress for so long between two steps is probed. Each probe of a flight doubles the time, because
/// the store may be slow.
pub(crate) const FIRST_PROBE: Duration = Duration::from_millis(100);

type Shard = HashMap<Key, Flight, RandomState>;

/// The flights of one pool.
#[derive(Clone, Default)]
pub(crate) struct Flights(Handle<Inner>);

#[derive(Default)]
struct Inner {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    next_id: AtomicU64,
}

/// The followers of one leader. A flight without a leader is removed.
#[derive(Default)]
struct Flight {
    /// Changes when the flight is disbanded.
    id: u64,
    /// The number of followers so far.
    joined: u64,
    followers: VecDeque<Follower>,
    /// What the site of the calls validates.
    check: Option<Check>,
    is_probed: bool,
    /// The number of probes so far.
    probes: u32,
    activity: Activity,
    /// The number of steps that the leader and its predecessors have begun, and of probes.
    steps: u64,
}

/// What the leader of a flight does.
#[derive(Clone, Copy, Default, PartialEq)]
enum Activity {
    /// It sends requests from the runtime of its caller, which may be blocked.
    #[default]
    Asking,
    /// It waits on the background thread and sees every change.
    Watching,
    /// It runs its body.
    Computing,
}

/// How far the leader of a flight had come when a follower looked: the id of the flight and the number of steps.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Progress(u64, u64);

/// What a follower does that has slept.
#[derive(Debug)]
pub(crate) enum Probe {
    /// It leads beside the leader, which makes no progress.
    Lead(Leader),
    /// It looks again after this time.
    Later(Duration),
}

struct Follower {
    /// Counts from 1, in order of arrival.
    number: u64,
    accepts_value: bool,
    handoff: oneshot::Sender<Handoff>,
}

/// The role of a call in a flight.
pub(crate) enum Role {
    /// Sends the first request of a new flight.
    Leader(Leader, Asked),
    /// Waits for the leader.
    Follower(oneshot::Receiver<Handoff>),
    /// Validates other values than the flight.
    Stranger,
}

/// What a follower receives.
#[derive(Debug)]
pub(crate) enum Handoff {
    /// The computed value.
    Value(Found),
    /// Leadership: the follower sends the next request.
    Lead(Leader),
}

/// A computed value or a recorded error, encoded.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub payload: Bytes,
    /// The grant under which it was published. `None` for a shared key, which keeps no value, and without the lock.
    pub id: Option<Id>,
    pub flag: Flag,
    /// The time since it was published, when it was read. `None` if the read does not say.
    pub age: Option<Duration>,
}

impl Found {
    /// A shared key is COMPUTED: its functions return `()`.
    pub(crate) const NO_VALUE: Self = Self {
        payload: Bytes::new(),
        id: None,
        flag: Flag::Value,
        age: None,
    };

    pub(crate) fn tag(&self) -> Option<Tag> {
        self.id.map(|id| id.tag)
    }

    /// The fence of the grant.
    pub(crate) fn fence(&self) -> Option<u64> {
        self.id.map(|id| id.fence)
    }
}

/// A request that is sent after this token was taken may serve the followers that had joined by then.
/// [`Leader::complete`] demands it, so that no follower receives a value that is older than its arrival.
#[derive(Debug)]
pub(crate) struct Asked {
    /// The number of the last follower that had joined.
    last: u64,
}

/// The right to send requests for a flight. Dropping it passes the leadership on.
pub(crate) struct Leader {
    flights: Flights,
    key: Key,
    flight_id: u64,
    /// A follower that probes the store while the flight has another leader.
    is_probe: bool,
    /// The key had no computed value, so a read is not worth a round trip.
    known_absent: bool,
    /// The leadership was passed on, or the flight was removed.
    has_passed: bool,
    turn: Turn,
}

impl Flights {
    /// Flights whose clones cost nothing.
    pub(crate) fn of_static(&'static self) -> Self {
        Self(Handle::of_static(&self.0))
    }

    /// Joins the flight of `key`. `accepts_value`: this call can use a computed value. `check`: what its site validates.
    pub(crate) fn join(&self, key: &Key, accepts_value: bool, check: Option<Check>) -> Role {
        match self.shard(key).entry(key.clone()) {
            Entry::Vacant(entry) => {
                let id = self.0.next_id.fetch_add(1, Ordering::Relaxed);
                entry.insert(Flight {
                    id,
                    check,
                    ..Flight::default()
                });
                let leader = Leader::new(self.clone(), key.clone(), id);
                Role::Leader(leader, Asked { last: 0 })
            }
            Entry::Occupied(mut entry) => {
                let flight = entry.get_mut();
                // A flight that validates nothing may return a value of any check.
                if check.is_some() && check != flight.check {
                    return Role::Stranger;
                }
                let (handoff, received) = oneshot::channel();
                flight.joined += 1;
                flight.followers.push_back(Follower {
                    number: flight.joined,
                    accepts_value,
                    handoff,
                });
                Role::Follower(received)
            }
        }
    }

    /// Lets a follower that has slept probe the store, if the leader has made no progress since it last looked. `seen` is what
    /// it saw then. `longest` is the time between two probes of a leader that computes.
    pub(crate) fn probe(&self, key: &Key, seen: &mut Option<Progress>, longest: Duration) -> Probe {
        let mut shard = self.shard(key);
        let Some(flight) = shard.get_mut(key) else {
            return Probe::Later(longest);
        };
        let progress = Progress(flight.id, flight.steps);
        let is_stuck = seen.replace(progress) == Some(progress);
        if is_stuck && !flight.is_probed && flight.activity != Activity::Watching {
            flight.is_probed = true;
            flight.probes += 1;
            // The other followers wait anew.
            flight.steps += 1;
            let mut leader = Leader::new(self.clone(), key.clone(), flight.id);
            leader.is_probe = true;
            leader.known_absent = flight.activity == Activity::Computing;
            return Probe::Lead(leader);
        }
        Probe::Later(match flight.activity {
            Activity::Asking => FIRST_PROBE
                .saturating_mul(1 << flight.probes.min(16))
                .min(longest),
            Activity::Watching | Activity::Computing => longest,
        })
    }

    /// Removes the leader, because it has lost the lock. Its followers, and calls that join later, continue without it.
    pub(crate) fn disband(&self, key: &Key) {
        let mut shard = self.shard(key);
        let Some(flight) = shard.get_mut(key) else { return };
        self.without_leader(flight);
        let mut leader = Leader::new(self.clone(), key.clone(), flight.id);
        leader.known_absent = true;
        drop(shard);
        // The drop passes the leadership to the first follower.
        drop(leader);
    }

    /// Takes the flight from its leader and its probe.
    fn without_leader(&self, flight: &mut Flight) {
        flight.id = self.0.next_id.fetch_add(1, Ordering::Relaxed);
        (flight.is_probed, flight.activity) = (false, Activity::Asking);
    }

    /// The number of flights.
    pub(crate) fn count(&self) -> usize {
        let len = |shard: &Mutex<Shard>| shard.lock().map_or(0, |flights| flights.len());
        self.0.shards.iter().map(len).sum()
    }

    fn shard(&self, key: &Key) -> MutexGuard<'_, Shard> {
        let shard = self.0.hasher.hash_one(key) as usize % SHARDS;
        self.0.shards[shard]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Leader {
    fn new(flights: Flights, key: Key, flight_id: u64) -> Self {
        Self {
            flights,
            key,
            flight_id,
            is_probe: false,
            known_absent: false,
            has_passed: false,
            turn: Turn::default(),
        }
    }

    /// Whether the flight has another leader.
    pub(crate) fn is_probe(&self) -> bool {
        self.is_probe
    }

    /// Whether the key had no computed value, so that the leader sends an ACQUIRE without a read before it.
    pub(crate) fn knows_absent(&self) -> bool {
        self.known_absent
    }

    /// Call this before each request: its reply serves every follower that has joined before.
    pub(crate) fn ask(&mut self) -> Asked {
        let is_probe = self.is_probe;
        let joined = self.with_flight(|flight| {
            if !is_probe {
                flight.steps += 1;
                if flight.activity == Activity::Computing {
                    flight.activity = Activity::Asking;
                }
            }
            flight.joined
        });
        Asked {
            last: joined.unwrap_or(0),
        }
    }

    /// Call this when the leader waits on the background thread: then no follower probes.
    pub(crate) fn begin_watching(&mut self) {
        if !self.is_probe {
            self.with_flight(|flight| flight.activity = Activity::Watching);
        }
    }

    /// Call this when the leader runs its body: then there is no value to read, and followers probe rarely.
    pub(crate) fn begin_computing(&mut self) {
        self.known_absent = true;
        self.replace_leader();
        self.with_flight(|flight| {
            flight.steps += 1;
            flight.activity = Activity::Computing;
        });
    }

    /// Call this when a RELEASE was sent: the ACQUIRE of the next follower travels behind it. Returns the leader if it must keep
    /// the leadership until the reply: there is no follower, or the turn is over and no other process is known to wait.
    pub(crate) fn hand_on(mut self) -> Option<Self> {
        let has_followers = self.with_flight(|flight| !flight.followers.is_empty());
        match has_followers == Some(true) && self.turn.hand_on() {
            true => None,
            false => Some(self),
        }
    }

    /// Whether the turn of this process has just ended, and other processes want the lock.
    pub(crate) fn take_yield(&mut self) -> bool {
        self.turn.take_yield()
    }

    /// Call this when another process holds the lock. `is_new`: another one than at the last look.
    pub(crate) fn saw_holder(&mut self, is_new: bool) {
        self.turn.saw_holder(is_new);
    }

    /// How long the leader waits after a change before it looks.
    pub(crate) fn backoff(&self) -> Duration {
        self.turn.backoff()
    }

    /// A probe that has the value or the lock becomes the leader. The former one goes on without followers.
    fn replace_leader(&mut self) {
        if !self.is_probe {
            return;
        }
        let mut shard = self.flights.shard(&self.key);
        if let Some(flight) = self.own_flight(&mut shard) {
            self.flights.without_leader(flight);
            self.flight_id = flight.id;
        }
        // If the flight was disbanded, this leader has no flight either.
        self.is_probe = false;
    }

    /// Passes the value to every follower that may receive it, and the leadership to the next one.
    pub(crate) fn complete(mut self, asked: Asked, found: &Found) {
        self.known_absent = false;
        self.replace_leader();
        let mut shard = self.flights.shard(&self.key);
        let Some(flight) = self.own_flight(&mut shard) else {
            return;
        };
        if flight.followers.is_empty() {
            // The same as `pass`, but under one lock, because most hits have no followers.
            shard.remove(&self.key);
            self.has_passed = true;
            return;
        }
        let (served, others): (VecDeque<Follower>, _) = flight
            .followers
            .drain(..)
            .partition(|follower| follower.accepts_value && follower.number <= asked.last);
        flight.followers = others;
        // Each send wakes a caller, which must not wait for this lock.
        drop(shard);
        for follower in served {
            let _ = follower.handoff.send(Handoff::Value(found.clone()));
        }
    }

    /// Applies `action` to the flight of this leader, unless it was disbanded.
    fn with_flight<T>(&self, action: impl FnOnce(&mut Flight) -> T) -> Option<T> {
        self.own_flight(&mut self.flights.shard(&self.key)).map(action)
    }

    fn own_flight<'a>(&self, shard: &'a mut Shard) -> Option<&'a mut Flight> {
        shard
            .get_mut(&self.key)
            .filter(|flight| flight.id == self.flight_id)
    }

    /// Passes the leadership to the first follower that was not dropped. Without one the flight ends.
    fn pass(&self) {
        loop {
            let mut shard = self.flights.shard(&self.key);
            let Some(flight) = self.own_flight(&mut shard) else {
                return;
            };
            flight.activity = Activity::Asking;
            flight.steps += 1;
            let Some(next) = flight.followers.pop_front() else {
                shard.remove(&self.key);
                return;
            };
            drop(shard);
            let mut leader = Self::new(self.flights.clone(), self.key.clone(), self.flight_id);
            (leader.known_absent, leader.turn) = (self.known_absent, self.turn);
            match next.handoff.send(Handoff::Lead(leader)) {
                Err(Handoff::Lead(mut leader)) => leader.has_passed = true,
                _ => return,
            }
        }
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        match (self.has_passed, self.is_probe) {
            (true, _) => {}
            (false, true) => drop(self.with_flight(|flight| flight.is_probed = false)),
            (false, false) => self.pass(),
        }
    }
}

impl fmt::Debug for Leader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leader")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
