//! A connection for heartbeats that cannot be opened.

use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use dspinlock::{HashDSpinlock, Pool};
use dspinlock_testkit::{Action, Proxy, Redis, Stage, eventually};

use crate::common::lock::locked;

const LEASE: Duration = Duration::from_secs(2);

/// The pause between two attempts.
const RETRY: Duration = Duration::from_secs(10);

/// Time for the first attempt, and for a loaded machine.
const MARGIN: Duration = Duration::from_secs(3);

#[test]
fn heartbeats_that_cannot_connect_use_the_connection_for_steps_and_are_tried_again() {
    let server = Redis::start();
    let proxy = Proxy::start(server.port());
    proxy.limit_connections(Some(1));
    let pool = Pool::open(&proxy.url()).unwrap();
    let lock = |key: &'static str| HashDSpinlock::new(key).lease(LEASE).pool(&pool);
    let lease = locked(lock("held").acquire_blocking());
    let start = Instant::now();
    eventually("the first attempt", || (proxy.attempts() == 2).then_some(()));
    sleep(2 * LEASE);
    assert!(!lease.is_lost(), "the connection for steps carries renewals");
    assert!(proxy.requests("RENEW") > 0);
    assert_eq!((proxy.connections(), proxy.attempts()), (1, 2));
    proxy.limit_connections(None);
    eventually("the connection for heartbeats", || {
        (proxy.connections() == 2).then_some(())
    });
    let elapsed = start.elapsed();
    println!("connected after {elapsed:.1?}, {} attempts", proxy.attempts());
    assert!(elapsed <= RETRY + MARGIN, "{elapsed:?}");
    // Renewals do not wait behind a step any more.
    sleep(LEASE / 2);
    proxy.intercept("ACQUIRE", Stage::Request, Action::Hold);
    scope(|threads| {
        let other = threads.spawn(|| drop(locked(lock("other").acquire_blocking())));
        proxy.wait_matched();
        sleep(LEASE + LEASE / 4);
        assert!(!lease.is_lost(), "the connection for heartbeats carries renewals");
        proxy.resume();
        other.join().expect("the lock is free");
    });
    lease.release_blocking().unwrap();
}
