//! A lease, its heartbeat, and those who wait for its loss.

use std::sync::Arc;
use std::time::Duration;

use dspinlock_runtime::internals::protocol::record::Slot;
use dspinlock_runtime::internals::protocol::{Acquire, Reply, Request};
use shuttle::sync::atomic::{AtomicBool, Ordering};
use shuttle::thread;

use super::key;
use crate::clock::{self, Instant};
use crate::lease::claim::Claim;
use crate::lease::{Held, Lease, Published, Terms, millis};
use crate::pool::Pool;
use crate::protocol::value::Holder;
use crate::rt::blocking;

const LEASE: Duration = Duration::from_secs(3);

fn terms() -> Terms {
    Terms {
        lease: LEASE,
        ttl: Duration::from_secs(60),
        max_block: Duration::from_secs(60),
        site: "site".into(),
    }
}

fn lease(pool: &Pool) -> Lease {
    let sent = Instant::now();
    let mut claim = Claim::new(pool, &key(), LEASE, None);
    claim.arm(pool);
    let request = Acquire {
        tag: claim.tag.clone(),
        lease: millis(LEASE),
        max_block: 60_000,
        cached: true,
        fail_if_key_exists: false,
        want_value: true,
        refuse: None,
        stale: None,
        holder: Holder::new(1, "host", "site"),
        bound: usize::MAX,
    };
    match blocking::wait(pool.ask(&key(), Request::Acquire(request))) {
        Ok(Reply::Acquired(fence)) => Lease::start(claim, fence, sent, terms()),
        other => panic!("the key is free, but {other:?}"),
    }
}

/// A body that ends while a beat may be under way: its result is kept, no loss is told, and no beat is left.
pub fn a_lease_that_ends_while_it_beats_is_not_lost() {
    let pool = Pool::default();
    let lease = lease(&pool);
    let held = lease.held().clone();
    let time = thread::spawn(|| clock::advance(LEASE / 3));
    let published = blocking::wait(lease.publish(Some("value".into())));
    time.join().expect("the clock goes on");
    assert!(matches!(published, Ok(Published::Kept)), "{published:?}");
    assert!(!held.is_lost(), "an end is no loss");
    no_beat_is_left(&held);
}

/// A lease whose time is over: everybody who waits for the loss is told, its result is not kept, nothing is left.
pub fn a_lease_that_lapses_tells_everybody() {
    let pool = Pool::default();
    let lease = lease(&pool);
    let waiters = [(), ()].map(|()| {
        let held = lease.held().clone();
        thread::spawn(move || blocking::wait(held.lost()))
    });
    // Another has taken the key, or the store has forgotten it: a beat would be told so, and the deadline comes anyway.
    let deletes = {
        let pool = pool.clone();
        thread::spawn(move || drop(blocking::wait(pool.ask(&key(), Request::Delete))))
    };
    // On and on: a timer that is set while the clock moves begins late.
    let told = Arc::new(AtomicBool::new(false));
    let time = {
        let told = told.clone();
        thread::spawn(move || {
            while !told.load(Ordering::SeqCst) {
                clock::advance(LEASE);
                thread::yield_now();
            }
        })
    };
    for thread in waiters.into_iter().chain([deletes]) {
        thread.join().expect("nobody panics");
    }
    told.store(true, Ordering::SeqCst);
    time.join().expect("the clock goes on");
    assert!(lease.is_lost());
    let held = lease.held().clone();
    let published = blocking::wait(lease.publish(Some("value".into())));
    assert!(matches!(published, Ok(Published::TooLate)), "{published:?}");
    no_beat_is_left(&held);
}

/// A lease that is dropped while it may beat leaves the key free and no beat.
pub fn a_lease_that_is_dropped_frees_the_key() {
    let pool = Pool::default();
    let lease = lease(&pool);
    let held = lease.held().clone();
    let time = thread::spawn(|| clock::advance(LEASE / 3));
    drop(lease);
    time.join().expect("the clock goes on");
    while pool.record().state != Slot::Absent {
        thread::yield_now();
    }
    no_beat_is_left(&held);
}

/// The list of beats, and a beat that is under way, hold the lease; the scheduler gives up where that does not end.
fn no_beat_is_left(held: &Arc<Held>) {
    while Arc::strong_count(held) > 1 {
        thread::yield_now();
    }
    assert!(held.place().is_none(), "it has ended, but stands in the list");
}
