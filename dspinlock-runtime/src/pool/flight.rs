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
//! `engine` and `lease` call this module. It sends no requests itself.

use std::collections::VecDeque;
use std::collections::hash_map::{Entry, HashMap};
use std::fmt;
use std::hash::BuildHasher;
use std::mem;
use std::time::Duration;

use bytes::Bytes;
use foldhash::fast::RandomState;

use crate::key::Key;
use crate::protocol::tag::Tag;
use crate::rt::handle::Handle;
use crate::rt::sync::{AtomicU64, Instant, Mutex, MutexGuard, Ordering, PoisonError, oneshot};

/// The number of locks, so that calls for different keys rarely contend.
const SHARDS: usize = 16;

/// A leader that makes no progress for so long between two steps is probed. Each probe of a flight doubles the time, because
/// the store may be slow.
pub(crate) const FIRST_PROBE: Duration = Duration::from_millis(100);

/// How often, and for how long, the leaders of a flight hand a lock on before other processes may have it.
const MAX_HAND_OVERS: u32 = 8;
const MAX_TURN: Duration = Duration::from_millis(10);

/// A process that had a turn lets others that wait take the lock for so long, at each change.
const BACKOFF: Duration = Duration::from_millis(1);

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
}

/// What a follower receives.
#[derive(Debug)]
pub(crate) enum Handoff {
    /// The computed value.
    Value(Found),
    /// Leadership: the follower sends the next request.
    Lead(Leader),
}

/// A computed value, encoded.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub payload: Bytes,
    /// The tag under which it was published; `None` for a shared key, which keeps no value.
    pub tag: Option<Tag>,
}

impl Found {
    /// A shared key is COMPUTED: its functions return `()`.
    pub(crate) const NO_VALUE: Self = Self {
        payload: Bytes::new(),
        tag: None,
    };
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

/// How the leaders of a flight share a lock with other processes.
#[derive(Clone, Copy, Default)]
struct Turn {
    /// The hand-overs since another process may have had the lock.
    hand_overs: u32,
    /// When the first of them was.
    since: Option<Instant>,
    /// The number of other processes that the leaders have seen in turn since their own turn.
    seen: u32,
    /// The same number before their last turn: so many others probably wait.
    expected: u32,
    /// The turn is over: the next leader lets other processes take the lock before it asks.
    yields: bool,
}

impl Turn {
    /// Counts a hand-over. Returns whether the turn is over, which begins the next one.
    fn end(&mut self) -> bool {
        self.hand_overs += 1;
        let since = *self.since.get_or_insert_with(Instant::now);
        let is_over = self.hand_overs > MAX_HAND_OVERS || since.elapsed() >= MAX_TURN;
        if is_over {
            *self = Self {
                expected: self.seen,
                yields: self.seen + self.expected > 0,
                ..Self::default()
            };
        }
        is_over
    }
}

impl Flights {
    /// Flights whose clones cost nothing.
    pub(crate) fn of_static(&'static self) -> Self {
        Self(Handle::of_static(&self.0))
    }

    /// Joins the flight of `key`. `accepts_value`: this call can use a computed value.
    pub(crate) fn join(&self, key: &Key, accepts_value: bool) -> Role {
        match self.shard(key).entry(key.clone()) {
            Entry::Vacant(entry) => {
                let id = self.0.next_id.fetch_add(1, Ordering::Relaxed);
                entry.insert(Flight {
                    id,
                    ..Flight::default()
                });
                let leader = Leader::new(self.clone(), key.clone(), id);
                Role::Leader(leader, Asked { last: 0 })
            }
            Entry::Occupied(mut entry) => {
                let flight = entry.get_mut();
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
        if has_followers != Some(true) || self.turn.end() && !self.turn.yields {
            return Some(self);
        }
        None
    }

    /// Whether the turn of this process has just ended, and other processes want the lock.
    pub(crate) fn take_yield(&mut self) -> bool {
        mem::take(&mut self.turn.yields)
    }

    /// Call this when another call holds the lock. `is_next`: the last one was of another process.
    pub(crate) fn saw_holder(&mut self, is_next: bool) {
        (self.turn.hand_overs, self.turn.since) = (0, None);
        self.turn.seen += u32::from(is_next);
    }

    /// How long the leader waits after a change before it looks, so that every process has a turn before one has two.
    pub(crate) fn backoff(&self) -> Duration {
        match self.turn.seen < self.turn.expected {
            true => BACKOFF,
            false => Duration::ZERO,
        }
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
mod tests {
    use super::*;
    use crate::rt::blocking;

    fn key() -> Key {
        Key::new(crate::key::Format::Single, "dspinlock".into(), [1; 32])
    }

    fn lead(flights: &Flights) -> Leader {
        match flights.join(&key(), true) {
            Role::Leader(leader, _) => leader,
            Role::Follower(_) => panic!("the flight has a leader already"),
        }
    }

    fn follow(flights: &Flights, accepts_value: bool) -> oneshot::Receiver<Handoff> {
        match flights.join(&key(), accepts_value) {
            Role::Leader(..) => panic!("the flight has no leader"),
            Role::Follower(handoff) => handoff,
        }
    }

    const LONGEST: Duration = Duration::from_secs(60);

    /// The second look of a follower.
    fn probe(flights: &Flights) -> Result<Leader, Duration> {
        let mut seen = None;
        flights.probe(&key(), &mut seen, LONGEST);
        match flights.probe(&key(), &mut seen, LONGEST) {
            Probe::Lead(leader) => Ok(leader),
            Probe::Later(time) => Err(time),
        }
    }

    fn receive_lead(handoff: oneshot::Receiver<Handoff>) -> Leader {
        match blocking::wait(handoff) {
            Ok(Handoff::Lead(leader)) => leader,
            other => panic!("expected the leadership, got {other:?}"),
        }
    }

    fn found() -> Found {
        Found {
            payload: "value".into(),
            tag: None,
        }
    }

    #[test]
    fn a_value_serves_the_followers_that_joined_before_the_request() {
        let flights = Flights::default();
        let mut first = lead(&flights);
        let (early, exclusive) = (follow(&flights, true), follow(&flights, false));
        let asked = first.ask();
        let late = follow(&flights, true);
        first.complete(asked, &found());
        assert!(matches!(blocking::wait(early), Ok(Handoff::Value(_))));
        let second = receive_lead(exclusive);
        assert!(!second.knows_absent());
        drop(second);
        drop(receive_lead(late));
    }

    #[test]
    fn one_follower_at_a_time_probes() {
        let flights = Flights::default();
        let leader = lead(&flights);
        let follower = follow(&flights, true);
        let mut probe = probe(&flights).expect("the first probe");
        assert!(self::probe(&flights).is_err());
        drop(probe);
        probe = self::probe(&flights).expect("a probe after the first has ended");
        let asked = probe.ask();
        probe.complete(asked, &found());
        assert!(matches!(blocking::wait(follower), Ok(Handoff::Value(_))));
        assert!(flights.shard(&key()).is_empty());
        drop(leader);
    }

    #[test]
    fn a_leader_that_makes_progress_is_not_probed() {
        let flights = Flights::default();
        let mut leader = lead(&flights);
        let mut seen = None;
        let mut look = || flights.probe(&key(), &mut seen, LONGEST);
        for _ in 0..3 {
            assert!(matches!(look(), Probe::Later(FIRST_PROBE)));
            let _ = leader.ask();
        }
        assert!(matches!(look(), Probe::Later(FIRST_PROBE)));
        assert!(matches!(look(), Probe::Lead(_)));
    }

    #[test]
    fn each_probe_of_a_flight_doubles_the_time_to_the_next() {
        let flights = Flights::default();
        let _leader = lead(&flights);
        let (mut seen, longest) = (None, 10 * FIRST_PROBE);
        for factor in [1, 2, 4, 8, 10, 10] {
            let looked = flights.probe(&key(), &mut seen, longest);
            assert!(matches!(looked, Probe::Later(time) if time == factor * FIRST_PROBE));
            drop(probe(&flights));
        }
    }

    #[test]
    fn a_probe_with_the_value_replaces_the_leader() {
        let flights = Flights::default();
        let mut stuck = lead(&flights);
        let mut probe = probe(&flights).expect("a probe");
        assert!(!probe.knows_absent(), "the leader may be stuck behind its read");
        let asked = probe.ask();
        let late = follow(&flights, true);
        probe.complete(asked, &found());
        let next = receive_lead(late);
        let asked = stuck.ask();
        stuck.complete(asked, &found());
        assert_eq!(
            flights.count(),
            1,
            "the former leader ended a flight that is not its own"
        );
        drop(next);
        assert_eq!(flights.count(), 0);
    }

    #[test]
    fn a_probe_with_the_lock_replaces_the_leader() {
        let flights = Flights::default();
        let stuck = lead(&flights);
        let mut probe = probe(&flights).expect("a probe");
        let follower = follow(&flights, true);
        probe.begin_computing();
        drop(stuck);
        let asked = probe.ask();
        probe.complete(asked, &found());
        assert!(matches!(blocking::wait(follower), Ok(Handoff::Value(_))));
        assert_eq!(flights.count(), 0);
    }

    #[test]
    fn no_follower_probes_while_the_leader_watches() {
        let flights = Flights::default();
        let mut first = lead(&flights);
        let follower = follow(&flights, true);
        first.begin_watching();
        assert!(matches!(probe(&flights), Err(LONGEST)));
        first.begin_computing();
        let mut seen = None;
        assert!(matches!(
            flights.probe(&key(), &mut seen, LONGEST),
            Probe::Later(LONGEST)
        ));
        let computing = probe(&flights).expect("a leader that computes may lose the key");
        assert!(computing.knows_absent());
        drop(computing);
        first.begin_watching();
        drop(first);
        let second = receive_lead(follower);
        assert!(probe(&flights).is_ok(), "the next leader does not watch yet");
        second.flights.disband(&key());
    }

    /// Hands the lock on until the turn of the process is over. Returns the number of hand-overs, and the last leader.
    fn hand_on_all(flights: &Flights, mut leader: Leader) -> (u32, Leader) {
        for hand_overs in 0.. {
            let next = follow(flights, false);
            if let Some(own) = leader.hand_on() {
                return (hand_overs, own);
            }
            leader = receive_lead(next);
            if leader.take_yield() {
                return (hand_overs + 1, leader);
            }
        }
        unreachable!("every turn ends")
    }

    #[test]
    fn a_turn_has_eight_hand_overs() {
        let flights = Flights::default();
        let mut leader = lead(&flights);
        assert!(leader.turn.since.is_none());
        leader.saw_holder(true);
        let (hand_overs, mut leader) = hand_on_all(&flights, leader);
        assert_eq!(hand_overs, MAX_HAND_OVERS + 1, "the last one yields");
        assert!(!leader.take_yield(), "a turn ends once");
        // Another process had the lock: the next turn is as long.
        leader.saw_holder(true);
        assert_eq!(hand_on_all(&flights, leader).0, MAX_HAND_OVERS + 1);
    }

    #[test]
    fn a_process_that_knows_of_no_other_keeps_the_leadership_until_its_last_release_is_answered() {
        let flights = Flights::default();
        let (hand_overs, leader) = hand_on_all(&flights, lead(&flights));
        assert_eq!(hand_overs, MAX_HAND_OVERS);
        assert_eq!(leader.backoff(), Duration::ZERO);
    }

    #[test]
    fn a_turn_ends_by_time() {
        let mut turn = Turn {
            since: Some(Instant::now()),
            seen: 1,
            ..Turn::default()
        };
        std::thread::sleep(MAX_TURN);
        assert!(turn.end());
        assert!(turn.yields);
    }

    #[test]
    fn a_process_backs_off_until_as_many_others_had_their_turn_as_before() {
        let flights = Flights::default();
        let mut leader = lead(&flights);
        for _ in 0..3 {
            leader.saw_holder(true);
            leader.saw_holder(false);
        }
        assert_eq!(leader.backoff(), Duration::ZERO, "it had no turn yet");
        let (_, mut leader) = hand_on_all(&flights, leader);
        for _ in 0..3 {
            assert_eq!(leader.backoff(), BACKOFF);
            leader.saw_holder(false);
            assert_eq!(leader.backoff(), BACKOFF);
            leader.saw_holder(true);
        }
        assert_eq!(leader.backoff(), Duration::ZERO);
    }

    #[test]
    fn a_leader_without_followers_keeps_the_leadership() {
        let flights = Flights::default();
        let leader = lead(&flights).hand_on();
        assert!(leader.is_some());
        let next = follow(&flights, false);
        drop(leader);
        drop(receive_lead(next));
        assert_eq!(flights.count(), 0);
    }

    #[test]
    fn a_disbanded_flight_continues_without_its_leader() {
        let flights = Flights::default();
        let mut lost = lead(&flights);
        let follower = follow(&flights, true);
        let asked = lost.ask();
        flights.disband(&key());
        let successor = receive_lead(follower);
        let next = follow(&flights, true);
        lost.complete(asked, &found()); // reaches no follower
        drop(successor);
        drop(receive_lead(next));
        assert!(flights.shard(&key()).is_empty());
    }

    #[test]
    fn the_leadership_skips_dropped_followers_and_ends_with_the_last() {
        let flights = Flights::default();
        let first = lead(&flights);
        let (dropped, drops_later, last) = (
            follow(&flights, true),
            follow(&flights, true),
            follow(&flights, true),
        );
        drop(dropped);
        drop(first);
        drop(drops_later); // with the leadership in its channel
        drop(receive_lead(last));
        assert!(flights.shard(&key()).is_empty());
    }
}
