//! Calls of one process after one key.

use std::sync::Arc;

use shuttle::sync::atomic::{AtomicU64, Ordering};
use shuttle::thread;

use super::key;
use crate::pool::flight::{Flights, Found, Joined, Seat, Word};
use crate::rt::blocking;

/// A key whose value is the number of the last change.
#[derive(Default)]
struct World {
    flights: Flights,
    version: AtomicU64,
    /// How many are at the store, for one flight that is never scattered at most one.
    seated: AtomicU64,
}

impl World {
    /// What a call does: it follows, or reads the store for all.
    fn call(&self, leaves: bool) {
        let begun = self.version.load(Ordering::SeqCst);
        let mut joined = self.flights.join(&key(), true);
        loop {
            let word = match joined {
                Joined::Seat(seat) => Word::Seat(seat),
                Joined::Queue(words) if leaves => return drop(words),
                Joined::Queue(words) => match blocking::wait(words) {
                    Ok(word) => word,
                    Err(_) => {
                        joined = self.flights.join(&key(), true);
                        continue;
                    }
                },
            };
            return match word {
                Word::Value(found) => {
                    let read = std::str::from_utf8(&found.tag).expect("a text");
                    let read: u64 = read.parse().expect("a number");
                    assert!(read >= begun, "a value older than the call: {read} < {begun}");
                }
                Word::Seat(seat) => self.lead(seat),
            };
        }
    }

    fn lead(&self, mut seat: Seat) {
        assert_eq!(self.seated.fetch_add(1, Ordering::SeqCst), 0, "two have the seat");
        seat.ask();
        let tag = self.version.load(Ordering::SeqCst).to_string();
        let (payload, tag) = (tag.clone().into(), tag.into());
        self.seated.fetch_sub(1, Ordering::SeqCst);
        seat.land(&Found { payload, tag });
    }
}

/// Every call ends, one at a time is at the store, and nobody is handed what is older than its own call. At the end no
/// flight is left.
pub fn calls_share_what_is_no_older_than_they_are() {
    let world = Arc::new(World::default());
    let calls = [false, false, true].map(|leaves| {
        let world = world.clone();
        thread::spawn(move || world.call(leaves))
    });
    let writer = {
        let world = world.clone();
        thread::spawn(move || {
            world.version.fetch_add(1, Ordering::SeqCst);
        })
    };
    for thread in calls.into_iter().chain([writer]) {
        thread.join().expect("no call panics");
    }
    nothing_is_left(&world.flights);
}

/// A seat that was lost while others join: all of them go on, though its holder never gives it back.
pub fn a_scattered_flight_strands_nobody() {
    let flights = Flights::default();
    let Joined::Seat(lost) = flights.join(&key(), true) else {
        panic!("nobody else is here")
    };
    let calls = [(), ()].map(|()| {
        let flights = flights.clone();
        thread::spawn(move || match flights.join(&key(), true) {
            Joined::Seat(seat) => drop(seat),
            Joined::Queue(words) => drop(blocking::wait(words)),
        })
    });
    let scatters = {
        let flights = flights.clone();
        thread::spawn(move || flights.scatter(&key()))
    };
    scatters.join().expect("no panic");
    // A late caller may have found the flight of a scatter that was over, with a seat that is passed on.
    for call in calls {
        call.join().expect("no panic");
    }
    drop(lost);
    nothing_is_left(&flights);
}

fn nothing_is_left(flights: &Flights) {
    assert!(
        matches!(flights.join(&key(), true), Joined::Seat(_)),
        "a flight was left without a holder of its seat"
    );
}
