//! Single flight: the calls of this process for the same key share one request.
//!
//! The first call of a flight is its leader and sends the request. It passes the reply to every follower that joined before
//! the request was sent. A later follower never receives that reply: it may have seen a newer value.
//! When the leader finishes or is dropped, the next follower in order of arrival becomes the leader. If a leader takes long,
//! one follower at a time probes the store, because the leader may have lost the lock, or may run on a blocked thread. A
//! leader that waits on the background thread is not probed, because nothing blocks it.
//!
//! `engine` and `lease` call this module. It sends no requests itself.

use std::collections::VecDeque;
use std::collections::hash_map::{Entry, HashMap};
use std::fmt;
use std::hash::BuildHasher;
use std::sync::Arc;

use bytes::Bytes;
use foldhash::fast::RandomState;

use crate::key::Key;
use crate::rt::sync::{AtomicU64, Mutex, MutexGuard, Ordering, PoisonError, oneshot};

/// The number of locks, so that calls for different keys rarely contend.
const SHARDS: usize = 16;

type Shard = HashMap<Key, Flight, RandomState>;

/// The flights of one pool.
#[derive(Clone, Default)]
pub(crate) struct Flights(Arc<Inner>);

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
    /// The leader waits on the background thread and sees every change.
    is_watching: bool,
}

struct Follower {
    /// Counts from 1, in order of arrival.
    number: u64,
    accepts_value: bool,
    handoff: oneshot::Sender<Handoff>,
}

/// The role of a call in a flight.
pub(crate) enum Role {
    /// Sends the request.
    Leader(Leader),
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
    /// The tag under which it was published.
    pub tag: Bytes,
}

/// The right to send requests for a flight. Dropping it passes the leadership on.
pub(crate) struct Leader {
    flights: Flights,
    key: Key,
    flight_id: u64,
    /// A follower that probes the store while the flight has another leader.
    is_probe: bool,
    /// The number of the last follower that joined before the last request.
    served_up_to: u64,
    /// The key had no computed value, so a read is not worth a round trip.
    known_absent: bool,
    /// The leadership was passed on, or the flight was removed.
    has_passed: bool,
}

impl Flights {
    /// Joins the flight of `key`. `accepts_value`: this call can use a computed value.
    pub(crate) fn join(&self, key: &Key, accepts_value: bool) -> Role {
        match self.shard(key).entry(key.clone()) {
            Entry::Vacant(entry) => {
                let id = self.0.next_id.fetch_add(1, Ordering::Relaxed);
                entry.insert(Flight {
                    id,
                    ..Flight::default()
                });
                Role::Leader(Leader::new(self.clone(), key.clone(), id))
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

    /// Lets a follower that has waited long probe the store. `None` if another one does, or if the leader watches the key.
    pub(crate) fn probe(&self, key: &Key) -> Option<Leader> {
        let mut shard = self.shard(key);
        let flight = shard
            .get_mut(key)
            .filter(|flight| !flight.is_probed && !flight.is_watching)?;
        flight.is_probed = true;
        let mut leader = Leader::new(self.clone(), key.clone(), flight.id);
        (leader.is_probe, leader.known_absent) = (true, true);
        Some(leader)
    }

    /// Removes the leader, because it has lost the lock. Its followers, and calls that join later, continue without it.
    pub(crate) fn disband(&self, key: &Key) {
        let mut shard = self.shard(key);
        let Some(flight) = shard.get_mut(key) else { return };
        flight.id = self.0.next_id.fetch_add(1, Ordering::Relaxed);
        (flight.is_probed, flight.is_watching) = (false, false);
        let mut leader = Leader::new(self.clone(), key.clone(), flight.id);
        leader.known_absent = true;
        drop(shard);
        // The drop passes the leadership to the first follower.
        drop(leader);
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
            served_up_to: 0,
            known_absent: false,
            has_passed: false,
        }
    }

    /// Whether the key had no computed value, so that the leader sends an ACQUIRE without a read before it.
    pub(crate) fn knows_absent(&self) -> bool {
        self.known_absent
    }

    /// Call this before each request: its reply serves every follower that has joined before.
    pub(crate) fn begin_request(&mut self) {
        let joined = self.with_flight(|flight| flight.joined);
        self.served_up_to = joined.unwrap_or(0);
    }

    /// Call this when the leader waits on the background thread: then no follower probes.
    pub(crate) fn begin_watching(&mut self) {
        if !self.is_probe {
            self.with_flight(|flight| flight.is_watching = true);
        }
    }

    /// Call this when the leader runs its body: then there is no value to read, and followers probe again.
    pub(crate) fn begin_computing(&mut self) {
        self.known_absent = true;
        if !self.is_probe {
            self.with_flight(|flight| flight.is_watching = false);
        }
    }

    /// Passes the value to every follower that may receive it, and the leadership to the next one.
    pub(crate) fn complete(mut self, found: &Found) {
        self.known_absent = false;
        let mut shard = self.flights.shard(&self.key);
        let Some(flight) = self.own_flight(&mut shard) else {
            return;
        };
        if flight.followers.is_empty() && !self.is_probe {
            // The same as `pass`, but under one lock, because most hits have no followers.
            shard.remove(&self.key);
            self.has_passed = true;
            return;
        }
        let last = self.served_up_to;
        let (served, others): (VecDeque<Follower>, _) = flight
            .followers
            .drain(..)
            .partition(|follower| follower.accepts_value && follower.number <= last);
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
            flight.is_watching = false;
            let Some(next) = flight.followers.pop_front() else {
                shard.remove(&self.key);
                return;
            };
            drop(shard);
            let mut leader = Self::new(self.flights.clone(), self.key.clone(), self.flight_id);
            leader.known_absent = self.known_absent;
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
        Key::new("dspinlock".into(), [1; 32])
    }

    fn lead(flights: &Flights) -> Leader {
        match flights.join(&key(), true) {
            Role::Leader(leader) => leader,
            Role::Follower(_) => panic!("the flight has a leader already"),
        }
    }

    fn follow(flights: &Flights, accepts_value: bool) -> oneshot::Receiver<Handoff> {
        match flights.join(&key(), accepts_value) {
            Role::Leader(_) => panic!("the flight has no leader"),
            Role::Follower(handoff) => handoff,
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
            tag: "tag".into(),
        }
    }

    #[test]
    fn a_value_serves_the_followers_that_joined_before_the_request() {
        let flights = Flights::default();
        let mut first = lead(&flights);
        let (early, exclusive) = (follow(&flights, true), follow(&flights, false));
        first.begin_request();
        let late = follow(&flights, true);
        first.complete(&found());
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
        let mut probe = flights.probe(&key()).expect("the first probe");
        assert!(flights.probe(&key()).is_none());
        drop(probe);
        probe = flights.probe(&key()).expect("a probe after the first has ended");
        probe.begin_request();
        probe.complete(&found());
        assert!(matches!(blocking::wait(follower), Ok(Handoff::Value(_))));
        drop(leader);
        assert!(flights.shard(&key()).is_empty());
    }

    #[test]
    fn no_follower_probes_while_the_leader_watches() {
        let flights = Flights::default();
        let mut first = lead(&flights);
        let follower = follow(&flights, true);
        first.begin_watching();
        assert!(flights.probe(&key()).is_none());
        first.begin_computing();
        assert!(
            flights.probe(&key()).is_some(),
            "a leader that computes may lose the key"
        );
        first.begin_watching();
        drop(first);
        let second = receive_lead(follower);
        assert!(
            flights.probe(&key()).is_some(),
            "the next leader does not watch yet"
        );
        second.flights.disband(&key());
    }

    #[test]
    fn a_disbanded_flight_continues_without_its_leader() {
        let flights = Flights::default();
        let mut lost = lead(&flights);
        let follower = follow(&flights, true);
        lost.begin_request();
        flights.disband(&key());
        let successor = receive_lead(follower);
        let next = follow(&flights, true);
        lost.complete(&found()); // reaches no follower
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
