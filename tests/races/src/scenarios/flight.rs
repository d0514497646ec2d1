//! Single flight: calls of one process for one key.

use std::sync::Arc;
use std::time::Duration;

use shuttle::sync::atomic::{AtomicU64, Ordering};
use shuttle::thread;

use super::key;
use crate::pool::flight::{Flights, Found, Handoff, Leader, Probe, Role};
use crate::rt::blocking;
use dspinlock_runtime::internals::protocol::header::Flag;

/// A key whose value is its version.
#[derive(Default)]
struct World {
    flights: Flights,
    version: AtomicU64,
    /// Number of leaders. A flight that is never disbanded or probed has at most one.
    leaders: AtomicU64,
    is_probed: bool,
}

impl World {
    /// A call that follows, or leads and reads the store.
    fn call(&self, leaves: bool) {
        let at_start = self.version.load(Ordering::SeqCst);
        let mut joined = self.flights.join(&key(), true, None);
        loop {
            let handoff = match joined {
                Role::Leader(leader, _) => Handoff::Lead(leader),
                Role::Stranger => unreachable!("no call validates"),
                Role::Follower(follower) if leaves => return drop(follower),
                Role::Follower(follower) => match blocking::wait(follower) {
                    Ok(handoff) => handoff,
                    Err(_) => {
                        joined = self.flights.join(&key(), true, None);
                        continue;
                    }
                },
            };
            return match handoff {
                Handoff::Value(found) => {
                    let version = std::str::from_utf8(&found.payload).expect("the payload is text");
                    let version: u64 = version.parse().expect("the payload is a number");
                    assert!(
                        version >= at_start,
                        "version {version} is older than the call ({at_start})"
                    );
                }
                Handoff::Lead(leader) => self.lead(leader),
            };
        }
    }

    fn lead(&self, mut leader: Leader) {
        let others = self.leaders.fetch_add(1, Ordering::SeqCst);
        assert!(others == 0 || self.is_probed, "two calls lead one flight");
        let asked = leader.ask();
        let payload = self.version.load(Ordering::SeqCst).to_string().into();
        self.leaders.fetch_sub(1, Ordering::SeqCst);
        let found = Found {
            payload,
            id: None,
            flag: Flag::Value,
            age: None,
        };
        leader.complete(asked, &found);
    }
}

/// Every call returns, at most one call reads the store at a time, and no flight remains. A value is never older than
/// the call that receives it.
pub fn no_follower_receives_a_value_older_than_its_call() {
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
    assert_no_flight_remains(&world.flights);
}

/// A follower probes while calls lead and join. A probe with the value replaces the leader. Every call returns, no value is
/// older than the call that receives it, and no flight remains.
pub fn a_probe_replaces_the_leader_of_a_flight() {
    let world = Arc::new(World {
        is_probed: true,
        ..World::default()
    });
    let calls = [false, false, true].map(|leaves| {
        let world = world.clone();
        thread::spawn(move || world.call(leaves))
    });
    let probes = {
        let world = world.clone();
        thread::spawn(move || {
            let mut seen = None;
            for _ in 0..3 {
                let longest = Duration::from_secs(60);
                if let Probe::Lead(leader) = world.flights.probe(&key(), &mut seen, longest) {
                    world.lead(leader);
                }
                thread::yield_now();
            }
        })
    };
    let writer = {
        let world = world.clone();
        thread::spawn(move || {
            world.version.fetch_add(1, Ordering::SeqCst);
        })
    };
    for thread in calls.into_iter().chain([probes, writer]) {
        thread.join().expect("no call panics");
    }
    assert_no_flight_remains(&world.flights);
}

/// A flight is disbanded while calls join it. All of them finish, although the first leader never completes the flight.
pub fn every_follower_of_a_disbanded_flight_finishes() {
    let flights = Flights::default();
    let Role::Leader(lost, _) = flights.join(&key(), true, None) else {
        panic!("the first call is not the leader")
    };
    let calls = [(), ()].map(|()| {
        let flights = flights.clone();
        thread::spawn(move || match flights.join(&key(), true, None) {
            Role::Leader(leader, _) => drop(leader),
            Role::Stranger => unreachable!("no call validates"),
            Role::Follower(follower) => drop(blocking::wait(follower)),
        })
    });
    let disbands = {
        let flights = flights.clone();
        thread::spawn(move || flights.disband(&key()))
    };
    disbands.join().expect("disbanding does not panic");
    // A call that joins after the disbanding starts a new flight, which has its own leader.
    for call in calls {
        call.join().expect("no call panics");
    }
    drop(lost);
    assert_no_flight_remains(&flights);
}

fn assert_no_flight_remains(flights: &Flights) {
    assert!(
        matches!(flights.join(&key(), true, None), Role::Leader(..)),
        "a flight without a leader remains"
    );
}
