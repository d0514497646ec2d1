//! The calls of this process that are after the same key at the same time: one goes to the store, the rest follow it.
//!
//! The one that goes holds the seat. It hands what it gets to those who joined before it asked: a caller that joined
//! later may have seen the key change in between, and must not be handed anything older. When it is done, or dropped,
//! the seat passes to the next in the order of arrival.

use std::collections::hash_map::{Entry, HashMap};
use std::collections::{VecDeque, hash_map::RandomState};
use std::fmt;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::key::Key;
use crate::lease::Held;

const SHARDS: usize = 16;

/// Every flight of one pool.
#[derive(Clone, Default)]
pub(crate) struct Flights(Arc<Inner>);

#[derive(Default)]
struct Inner {
    shards: [Mutex<HashMap<Key, Flight>>; SHARDS],
    hasher: RandomState,
}

/// A flight exists for as long as its seat is held.
#[derive(Default)]
struct Flight {
    joined: u64,
    queue: VecDeque<Member>,
    /// The lease under which the holder of the seat computes.
    lead: Option<Weak<Held>>,
}

struct Member {
    number: u64,
    accepts: bool,
    word: oneshot::Sender<Word>,
}

/// A caller's part in a flight.
pub(crate) enum Joined {
    /// It goes to the store.
    Seat(Seat),
    /// It waits for word.
    Queue(oneshot::Receiver<Word>),
}

/// What a follower is told.
#[derive(Debug)]
pub(crate) enum Word {
    /// The computed value.
    Value(Found),
    /// It is its turn to go.
    Seat(Seat),
}

/// A computed value as the store keeps it.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub payload: Bytes,
    /// The tag it was published under.
    pub tag: String,
}

/// The right to go to the store for all who are after one key. Dropping it passes it on.
pub(crate) struct Seat {
    flights: Flights,
    key: Key,
    /// Who joined before the last request was sent.
    asked: u64,
    /// The last holder knows that there is no computed value.
    cold: bool,
    passed: bool,
}

impl Flights {
    /// Takes part in the flight of `key`. `accepts`: a computed value is what this caller is after.
    pub(crate) fn join(&self, key: &Key, accepts: bool) -> Joined {
        match self.shard(key).entry(key.clone()) {
            Entry::Vacant(entry) => {
                entry.insert(Flight::default());
                Joined::Seat(Seat::new(self.clone(), key.clone(), false))
            }
            Entry::Occupied(mut entry) => {
                let flight = entry.get_mut();
                let (word, words) = oneshot::channel();
                flight.joined += 1;
                flight.queue.push_back(Member {
                    number: flight.joined,
                    accepts,
                    word,
                });
                Joined::Queue(words)
            }
        }
    }

    /// Whether a body of this process is at work on the key, under a lease that it keeps.
    pub(crate) fn is_led(&self, key: &Key) -> bool {
        let lead = self
            .shard(key)
            .get(key)
            .and_then(|flight| flight.lead.as_ref()?.upgrade());
        lead.is_some_and(|held| !held.is_lost())
    }

    fn shard(&self, key: &Key) -> MutexGuard<'_, HashMap<Key, Flight>> {
        let shard = self.0.hasher.hash_one(key) as usize % SHARDS;
        self.0.shards[shard]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    fn new(flights: Flights, key: Key, cold: bool) -> Self {
        Self {
            flights,
            key,
            asked: 0,
            cold,
            passed: false,
        }
    }

    /// Whether the last holder of the seat knew that there is no computed value.
    pub(crate) fn is_cold(&self) -> bool {
        self.cold
    }

    /// A request is about to be sent: its answer serves all who have joined by now.
    pub(crate) fn ask(&mut self) {
        if let Some(flight) = self.flights.shard(&self.key).get(&self.key) {
            self.asked = flight.joined;
        }
    }

    /// The holder of the seat computes.
    pub(crate) fn lead(&mut self, held: &Arc<Held>) {
        self.cold = true;
        if let Some(flight) = self.flights.shard(&self.key).get_mut(&self.key) {
            flight.lead = Some(Arc::downgrade(held));
        }
    }

    /// Hands the value to all who may have it, and passes the seat on.
    pub(crate) fn land(mut self, found: &Found) {
        self.cold = false;
        let mut served = Vec::new();
        if let Some(flight) = self.flights.shard(&self.key).get_mut(&self.key) {
            let queue = std::mem::take(&mut flight.queue);
            for member in queue {
                match member.accepts && member.number <= self.asked {
                    true => served.push(member.word),
                    false => flight.queue.push_back(member),
                }
            }
        }
        // Outside of the lock: each wakes a caller.
        for word in served {
            let _ = word.send(Word::Value(found.clone()));
        }
    }

    /// To the first who is still there.
    fn pass(&mut self) {
        loop {
            let mut shard = self.flights.shard(&self.key);
            let Some(flight) = shard.get_mut(&self.key) else {
                return;
            };
            flight.lead = None;
            let Some(next) = flight.queue.pop_front() else {
                shard.remove(&self.key);
                return;
            };
            drop(shard);
            let seat = Self::new(self.flights.clone(), self.key.clone(), self.cold);
            match next.word.send(Word::Seat(seat)) {
                Err(Word::Seat(mut seat)) => seat.passed = true,
                _ => return,
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if !self.passed {
            self.pass();
        }
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seat")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocking;

    fn key() -> Key {
        Key::new("dspinlock".into(), [1; 32])
    }

    fn seat(flights: &Flights) -> Seat {
        match flights.join(&key(), true) {
            Joined::Seat(seat) => seat,
            Joined::Queue(_) => panic!("the seat is taken"),
        }
    }

    fn queue(flights: &Flights, accepts: bool) -> oneshot::Receiver<Word> {
        match flights.join(&key(), accepts) {
            Joined::Seat(_) => panic!("nobody has the seat"),
            Joined::Queue(words) => words,
        }
    }

    fn found() -> Found {
        Found {
            payload: "value".into(),
            tag: "tag".into(),
        }
    }

    #[test]
    fn a_value_serves_those_who_joined_before_it_was_asked_for() {
        let flights = Flights::default();
        let mut first = seat(&flights);
        let (early, exclusive) = (queue(&flights, true), queue(&flights, false));
        first.ask();
        let late = queue(&flights, true);
        first.land(&found());
        assert!(matches!(blocking::wait(early), Ok(Word::Value(_))));
        let Ok(Word::Seat(second)) = blocking::wait(exclusive) else {
            panic!("not a value for an exclusive caller")
        };
        assert!(!second.is_cold());
        drop(second);
        assert!(
            matches!(blocking::wait(late), Ok(Word::Seat(_))),
            "a late caller asks for itself"
        );
    }

    #[test]
    fn the_seat_passes_over_those_who_left_and_ends_with_the_last() {
        let flights = Flights::default();
        let first = seat(&flights);
        let (gone, leaves, last) = (
            queue(&flights, true),
            queue(&flights, true),
            queue(&flights, true),
        );
        drop(gone);
        drop(first);
        drop(leaves); // with the seat in its hands
        let Ok(Word::Seat(seat)) = blocking::wait(last) else {
            panic!("the seat was lost")
        };
        drop(seat);
        assert!(flights.shard(&key()).is_empty());
    }
}
