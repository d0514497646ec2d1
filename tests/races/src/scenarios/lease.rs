//! A lease, its heartbeat, and the tasks that wait for its loss.

use std::sync::Arc;
use std::time::Duration;

use dspinlock_runtime::internals::protocol::record::Entry;
use dspinlock_runtime::internals::protocol::{Acquire, Reply, Request};
use shuttle::rand::Rng;
use shuttle::sync::Mutex;
use shuttle::sync::atomic::{AtomicBool, Ordering};
use shuttle::thread;

use super::key;
use crate::clock::{self, Instant};
use crate::lease::claim::Claim;
use crate::lease::heartbeat;
use crate::lease::held::{Caller, Held, Terms, millis};
use crate::lease::{Lease, Publication, PublishOutcome};
use crate::pool::Pool;
use crate::pool::flight::{Handoff, Leader, Role};
use crate::protocol::header::Origin;
use crate::rt::blocking;

const LEASE: Duration = Duration::from_secs(3);

fn terms() -> Terms {
    Terms {
        lease: LEASE,
        ttl: Duration::from_secs(60),
        max_block: Duration::from_secs(60),
        keeps_mark: false,
        caller: Caller::new("site"),
    }
}

fn lease(pool: &Pool) -> Lease {
    acquire(pool, None).expect("the key is free")
}

/// `None`: another caller holds the key, or the pool is closed.
fn acquire(pool: &Pool, leader: Option<Leader>) -> Option<Lease> {
    let sent = Instant::now();
    let mut claim = Claim::new(pool, &key(), LEASE, leader);
    claim.arm().ok()?;
    let request = Acquire {
        tag: claim.tag(),
        lease: millis(LEASE),
        max_block: 60_000,
        cached: true,
        fail_if_key_exists: false,
        seize: false,
        refuse: None,
        stale: None,
        origin: Origin::new(1, "host", "site"),
        bound: usize::MAX,
    };
    match blocking::wait(pool.send(&key(), Request::Acquire(request))) {
        Ok(Reply::Acquired(id)) => Lease::start(claim, id, sent, terms()).ok(),
        Ok(Reply::Busy(_)) => {
            claim.disarm();
            None
        }
        other => panic!("expected Acquired, got {other:?}"),
    }
}

/// The body ends while a heartbeat may be in flight. The result is published, the lease is not lost, and no heartbeat
/// remains.
pub fn a_lease_published_during_a_heartbeat_is_not_lost() {
    let pool = Pool::default();
    let lease = lease(&pool);
    let held = lease.held().clone();
    let time = thread::spawn(|| clock::advance(LEASE / 3));
    let published = blocking::wait(lease.publish(Publication::of(Some("value".into()))));
    time.join().expect("the clock thread does not panic");
    assert!(
        matches!(published, Ok(PublishOutcome::Published)),
        "{published:?}"
    );
    assert!(!held.is_lost(), "publishing must not lose the lease");
    assert_no_heartbeat_remains(&held);
}

/// Callers of one process take a lock in turn, and each hands it on behind its RELEASE. An ACQUIRE that overtakes the RELEASE
/// is BUSY. Two callers never hold the lock, every release succeeds, and no flight remains.
pub fn a_lock_that_is_handed_on_has_one_holder() {
    let (pool, is_held) = (Pool::default(), Arc::new(AtomicBool::new(false)));
    let callers = [(), (), ()].map(|()| {
        let (pool, is_held) = (pool.clone(), is_held.clone());
        thread::spawn(move || {
            let lease = take_turn(&pool);
            assert!(!is_held.swap(true, Ordering::SeqCst), "two callers hold the lock");
            thread::yield_now();
            is_held.store(false, Ordering::SeqCst);
            let released = blocking::wait(lease.publish(Publication::of(None)));
            assert!(matches!(released, Ok(PublishOutcome::Published)), "{released:?}");
        })
    });
    for caller in callers {
        caller.join().expect("no caller panics");
    }
    assert_eq!(pool.flights().count(), 0);
}

fn take_turn(pool: &Pool) -> Lease {
    loop {
        let leader = match pool.flights().join(&key(), false, None) {
            Role::Leader(leader, _) => leader,
            Role::Stranger => unreachable!("no call validates"),
            Role::Follower(handoff) => match blocking::wait(handoff) {
                Ok(Handoff::Lead(leader)) => leader,
                _ => continue,
            },
        };
        match acquire(pool, Some(leader)) {
            Some(lease) => return lease,
            None => thread::yield_now(),
        }
    }
}

/// A lease gets another length while a heartbeat with the former one may be in flight. The holder never trusts it for longer
/// than the store keeps it.
pub fn an_extended_lease_ends_before_its_entry() {
    let pool = Pool::default();
    let lease = lease(&pool);
    let held = lease.held().clone();
    let time = thread::spawn(|| clock::advance(LEASE / 3));
    let extended = blocking::wait(lease.extend(LEASE * 10));
    assert!(extended.is_ok(), "{extended:?}");
    time.join().expect("the clock thread does not panic");
    thread::yield_now();
    let remaining = lease.remaining();
    assert!(remaining > LEASE * 9, "{remaining:?}");
    assert!(remaining < pool.remaining(), "{:?}", pool.remaining());
    drop(lease);
    assert_no_heartbeat_remains(&held);
}

/// A lease expires. Every task that waits for the loss is woken, the result is not published, and no heartbeat remains.
pub fn an_expired_lease_wakes_every_waiter() {
    let pool = Pool::default();
    let lease = lease(&pool);
    let waiters = [(), ()].map(|()| {
        let held = lease.held().clone();
        thread::spawn(move || blocking::wait(held.lost()))
    });
    // The key is deleted too: the loss is reported by a heartbeat or by the deadline.
    let deletes = {
        let pool = pool.clone();
        thread::spawn(move || drop(blocking::wait(pool.send(&key(), Request::Delete))))
    };
    // Advances repeatedly, because a timer that is set while the clock moves starts late.
    let woken = Arc::new(AtomicBool::new(false));
    let time = {
        let woken = woken.clone();
        thread::spawn(move || {
            while !woken.load(Ordering::SeqCst) {
                clock::advance(LEASE);
                thread::yield_now();
            }
        })
    };
    for thread in waiters.into_iter().chain([deletes]) {
        thread.join().expect("no waiter panics");
    }
    woken.store(true, Ordering::SeqCst);
    time.join().expect("the clock thread does not panic");
    assert!(lease.is_lost());
    let held = lease.held().clone();
    let published = blocking::wait(lease.publish(Publication::of(Some("value".into()))));
    assert!(
        matches!(published, Ok(PublishOutcome::AlreadyLost)),
        "{published:?}"
    );
    assert_no_heartbeat_remains(&held);
}

/// A lease is dropped while a heartbeat may be in flight. The key becomes free, and no heartbeat remains.
pub fn a_dropped_lease_frees_the_key() {
    let pool = Pool::default();
    let lease = lease(&pool);
    let held = lease.held().clone();
    let time = thread::spawn(|| clock::advance(LEASE / 3));
    drop(lease);
    time.join().expect("the clock thread does not panic");
    while pool.entry() != Entry::Absent {
        thread::yield_now();
    }
    assert_no_heartbeat_remains(&held);
}

/// A pool is closed while a call acquires, and while another one ends. When `close` returns, the key is free, and no lease is
/// left that counts as held.
pub fn a_closed_pool_holds_no_key() {
    let pool = Pool::default();
    let held = Arc::new(Mutex::new(Vec::new()));
    let callers = [true, false].map(|keeps| {
        let (pool, held) = (pool.clone(), held.clone());
        thread::spawn(move || match acquire(&pool, None) {
            Some(lease) if keeps => held.lock().expect("no caller panics").push(lease),
            lease => drop(lease),
        })
    });
    // The calls have come far or not.
    for _ in 0..shuttle::rand::thread_rng().gen_range(0..60) {
        thread::yield_now();
    }
    let closed = blocking::wait(pool.close(Duration::ZERO));
    assert!(closed.is_ok(), "{closed:?}");
    assert_eq!(pool.entry(), Entry::Absent);
    for caller in callers {
        caller.join().expect("no caller panics");
    }
    let held = held.lock().expect("no caller panics");
    assert!(
        held.iter().all(Lease::is_lost),
        "a lease of a closed pool is held"
    );
    assert_eq!(heartbeat::leases(), 0);
    assert_eq!(pool.entry(), Entry::Absent);
}

/// The heartbeat list and a heartbeat in flight own the lease. The scheduler fails the test if they keep it forever.
fn assert_no_heartbeat_remains(held: &Arc<Held>) {
    while Arc::strong_count(held) > 1 {
        thread::yield_now();
    }
    assert_eq!(
        heartbeat::leases(),
        0,
        "the lease has ended but is still in the heartbeat's schedule"
    );
}
