//! The calls of this process that are after the same key at the same time: one goes to the store, the rest follow it.
//!
//! The one that goes holds the seat. It hands what it gets to those who joined before it asked: a caller that joined
//! later may have seen the key change in between, and must not be handed anything older. When it is done, or dropped,
//! the seat passes to the next in the order of arrival. Where it takes long, one scout looks at the store meanwhile: the
//! holder of the seat may have lost the key, or may sit on a thread that is blocked. A holder that waits in the background
//! is its own scout.

use std::collections::VecDeque;
use std::collections::hash_map::{Entry, HashMap};
use std::fmt;
use std::hash::BuildHasher;
use std::sync::Arc;

use bytes::Bytes;
use foldhash::fast::RandomState;

use crate::key::Key;
use crate::rt::sync::{AtomicU64, Mutex, MutexGuard, Ordering, PoisonError, oneshot};

const SHARDS: usize = 16;

type Shard = HashMap<Key, Flight, RandomState>;

/// Every flight of one pool.
#[derive(Clone, Default)]
pub(crate) struct Flights(Arc<Inner>);

#[derive(Default)]
struct Inner {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    flights: AtomicU64,
}

/// A flight exists for as long as its seat is held.
#[derive(Default)]
struct Flight {
    id: u64,
    joined: u64,
    queue: VecDeque<Member>,
    scouted: bool,
    /// The holder of the seat waits where nothing can block it, and looks at every change.
    watching: bool,
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
    /// The tag it was published under, a text.
    pub tag: Bytes,
}

/// The right to go to the store for all who are after one key. Dropping it passes it on.
pub(crate) struct Seat {
    flights: Flights,
    key: Key,
    flight: u64,
    /// It was not given the seat, but looks while another has it.
    scout: bool,
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
                let id = self.0.flights.fetch_add(1, Ordering::Relaxed);
                entry.insert(Flight {
                    id,
                    ..Flight::default()
                });
                Joined::Seat(Seat::new(self.clone(), key.clone(), id))
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

    /// A follower that has waited long: may it look for itself? One of them may.
    pub(crate) fn scout(&self, key: &Key) -> Option<Seat> {
        let mut shard = self.shard(key);
        let flight = shard
            .get_mut(key)
            .filter(|flight| !flight.scouted && !flight.watching)?;
        flight.scouted = true;
        let mut seat = Seat::new(self.clone(), key.clone(), flight.id);
        (seat.scout, seat.cold) = (true, true);
        Some(seat)
    }

    /// The holder of the seat has lost the key: whoever follows it, or comes now, goes without it.
    pub(crate) fn scatter(&self, key: &Key) {
        let mut shard = self.shard(key);
        let Some(flight) = shard.get_mut(key) else { return };
        flight.id = self.0.flights.fetch_add(1, Ordering::Relaxed);
        (flight.scouted, flight.watching) = (false, false);
        let mut seat = Seat::new(self.clone(), key.clone(), flight.id);
        seat.cold = true;
        drop(shard);
        drop(seat);
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        let lock = |shard: &Mutex<Shard>| shard.lock().map_or(0, |flights| flights.len());
        self.0.shards.iter().map(lock).sum()
    }

    fn shard(&self, key: &Key) -> MutexGuard<'_, Shard> {
        let shard = self.0.hasher.hash_one(key) as usize % SHARDS;
        self.0.shards[shard]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    fn new(flights: Flights, key: Key, flight: u64) -> Self {
        Self {
            flights,
            key,
            flight,
            scout: false,
            asked: 0,
            cold: false,
            passed: false,
        }
    }

    /// Whether the last holder of the seat knew that there is no computed value.
    pub(crate) fn is_cold(&self) -> bool {
        self.cold
    }

    /// A request is about to be sent: its answer serves all who have joined by now.
    pub(crate) fn ask(&mut self) {
        let joined = self.flight(|flight| flight.joined);
        self.asked = joined.unwrap_or(0);
    }

    /// The holder of the seat waits in the background: nobody need look beside it.
    pub(crate) fn watch(&mut self) {
        if !self.scout {
            self.flight(|flight| flight.watching = true);
        }
    }

    /// The holder of the seat computes: who comes next knows that there is no value.
    pub(crate) fn lead(&mut self) {
        self.cold = true;
        if !self.scout {
            self.flight(|flight| flight.watching = false);
        }
    }

    /// Hands the value to all who may have it, and passes the seat on.
    pub(crate) fn land(mut self, found: &Found) {
        self.cold = false;
        let mut shard = self.flights.shard(&self.key);
        let Some(flight) = self.own(&mut shard) else {
            return;
        };
        if flight.queue.is_empty() && !self.scout {
            // What `pass` would do, in one go: most hits have nobody behind them.
            shard.remove(&self.key);
            self.passed = true;
            return;
        }
        let asked = self.asked;
        let (served, others): (VecDeque<Member>, _) = flight
            .queue
            .drain(..)
            .partition(|member| member.accepts && member.number <= asked);
        flight.queue = others;
        // Outside of the lock: each wakes a caller.
        drop(shard);
        for member in served {
            let _ = member.word.send(Word::Value(found.clone()));
        }
    }

    /// This seat's flight, unless it was scattered.
    fn flight<T>(&self, action: impl FnOnce(&mut Flight) -> T) -> Option<T> {
        self.own(&mut self.flights.shard(&self.key)).map(action)
    }

    fn own<'a>(&self, shard: &'a mut Shard) -> Option<&'a mut Flight> {
        shard.get_mut(&self.key).filter(|flight| flight.id == self.flight)
    }

    /// To the first who is still there. The flight ends with the last.
    fn pass(&self) {
        loop {
            let mut shard = self.flights.shard(&self.key);
            let Some(flight) = self.own(&mut shard) else {
                return;
            };
            flight.watching = false;
            let Some(next) = flight.queue.pop_front() else {
                shard.remove(&self.key);
                return;
            };
            drop(shard);
            let mut seat = Self::new(self.flights.clone(), self.key.clone(), self.flight);
            seat.cold = self.cold;
            match next.word.send(Word::Seat(seat)) {
                Err(Word::Seat(mut seat)) => seat.passed = true,
                _ => return,
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        match (self.passed, self.scout) {
            (true, _) => {}
            (false, true) => drop(self.flight(|flight| flight.scouted = false)),
            (false, false) => self.pass(),
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
    use crate::rt::blocking;

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
    fn one_scout_at_a_time_looks_while_the_seat_is_held() {
        let flights = Flights::default();
        let held = seat(&flights);
        let follower = queue(&flights, true);
        let mut scout = flights.scout(&key()).expect("nobody scouts");
        assert!(flights.scout(&key()).is_none());
        drop(scout);
        scout = flights.scout(&key()).expect("the scout went home");
        scout.ask();
        scout.land(&found());
        assert!(matches!(blocking::wait(follower), Ok(Word::Value(_))));
        drop(held);
        assert!(flights.shard(&key()).is_empty());
    }

    #[test]
    fn nobody_scouts_while_the_holder_of_the_seat_waits_in_the_background() {
        let flights = Flights::default();
        let mut first = seat(&flights);
        let follower = queue(&flights, true);
        first.watch();
        assert!(flights.scout(&key()).is_none());
        first.lead();
        assert!(
            flights.scout(&key()).is_some(),
            "a holder that computes may lose the key"
        );
        first.watch();
        drop(first);
        let Ok(Word::Seat(second)) = blocking::wait(follower) else {
            panic!("the seat was lost")
        };
        assert!(
            flights.scout(&key()).is_some(),
            "the next holder does not wait yet"
        );
        second.flights.scatter(&key());
    }

    #[test]
    fn a_scattered_flight_goes_on_without_the_holder_of_its_seat() {
        let flights = Flights::default();
        let mut lost = seat(&flights);
        let follower = queue(&flights, true);
        lost.ask();
        flights.scatter(&key());
        let Ok(Word::Seat(taken)) = blocking::wait(follower) else {
            panic!("the follower was not set free")
        };
        let next = queue(&flights, true);
        lost.land(&found()); // reaches nobody
        drop(taken);
        assert!(matches!(blocking::wait(next), Ok(Word::Seat(_))));
        assert!(flights.shard(&key()).is_empty());
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
