//! What the holder of a lease does with it: gives it up, or changes its length.

use std::pin::pin;
use std::task::{Context, Waker};
use std::thread::sleep;
use std::time::{Duration, Instant};

use dspinlock::{Acquired, Error, Pool};
use dspinlock_testkit::{Action, ChildProcess, Job, Proxy, Redis, Stage, Worker, eventually};

use super::on_each;
use crate::common::lock::{lock, locked};
use crate::common::store::Store;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The time until the key expires, as another caller sees it.
fn remaining_in_store(pool: &Pool) -> Duration {
    match lock(pool).fail_if_key_exists(true).acquire_blocking() {
        Err(Error::FailIfKeyExistsIsEnabled { remaining, .. }) => remaining.expect("a lease expires"),
        other => panic!("expected an existing key, got {other:?}"),
    }
}

#[test]
fn a_lease_that_is_given_up_leaves_no_entry() {
    on_each(|pool| {
        for blocking in [true, false] {
            let cached = lock(pool).cached_if_computed(true);
            let lease = locked(cached.acquire_blocking());
            match blocking {
                true => lease.give_up_blocking().unwrap(),
                false => futures_executor::block_on(lease.give_up()).unwrap(),
            }
            assert!(!cached.delete_state_blocking().unwrap(), "an entry remains");
            assert!(matches!(cached.acquire_blocking().unwrap(), Acquired::Locked(_)));
        }
    });
}

#[test]
fn a_lease_of_a_deleted_key_cannot_be_given_up() {
    on_each(|pool| {
        let lease = locked(lock(pool).acquire_blocking());
        assert!(lock(pool).delete_state_blocking().unwrap());
        let newer = locked(lock(pool).acquire_blocking());
        let error = lease.give_up_blocking().unwrap_err();
        assert!(
            matches!(error, Error::InvalidMutexReleaseEncountered { .. }),
            "{error}"
        );
        newer
            .give_up_blocking()
            .expect("the newer holder still has the key");
    });
}

#[test]
fn a_lease_that_is_given_up_wakes_a_waiter_of_another_process() {
    Store::on_each(|store| {
        let pool = Pool::open(&store.url()).unwrap();
        let lease = locked(lock(&pool).acquire_blocking());
        let worker = Worker::start(&store.url());
        // Only a change of the key wakes it.
        let waiting = worker.call(&Job::new("shared", "example").with("sleep", 60_000));
        sleep(ms(500));
        assert!(waiting.is_pending());
        let start = Instant::now();
        lease.give_up_blocking().unwrap();
        assert!(waiting.result().is_ok());
        println!("{}: {:?}", store.url(), start.elapsed());
        assert!(start.elapsed() < ms(5000), "{:?}", start.elapsed());
    });
}

#[test]
fn the_remaining_time_shrinks_until_a_renewal_and_is_zero_after_a_loss() {
    on_each(|pool| {
        let lease = locked(lock(pool).lease(ms(6000)).acquire_blocking());
        let first = lease.remaining();
        // 2 % and 50 ms are left out.
        assert!(first <= ms(5830) && first > ms(3000), "{first:?}");
        sleep(ms(300));
        assert!(lease.remaining() <= first - ms(300));
        // The first renewal is due after two seconds.
        eventually("a renewal", || (lease.remaining() > ms(5000)).then_some(()));
        sleep(ms(2500));
        assert!(lease.remaining() > ms(3000), "{:?}", lease.remaining());
        assert!(lock(pool).delete_state_blocking().unwrap());
        futures_executor::block_on(lease.lost());
        assert_eq!(lease.remaining(), Duration::ZERO);
    });
}

#[test]
fn a_lease_is_renewed_at_once_with_its_new_length() {
    on_each(|pool| {
        let lease = locked(lock(pool).lease(ms(5000)).acquire_blocking());
        lease.extend_blocking(ms(60_000)).unwrap();
        assert!(lease.remaining() > ms(50_000), "{:?}", lease.remaining());
        assert!(remaining_in_store(pool) > ms(50_000));
        // A shorter one, and the heartbeat renews it in time.
        futures_executor::block_on(lease.extend(ms(1500))).unwrap();
        assert!(lease.remaining() <= ms(1420), "{:?}", lease.remaining());
        for _ in 0..30 {
            sleep(ms(100));
            assert!(!lease.is_lost());
            assert!(remaining_in_store(pool) <= ms(1500));
        }
        lease.release_blocking().unwrap();
    });
}

const PROCESS: &str = "DSPINLOCK_TEST_EXTEND";

#[test]
fn a_killed_holder_blocks_others_for_its_new_length_only() {
    Store::on_each(|store| {
        let environment = [(PROCESS, "yes"), ("DSPINLOCK_URL", &store.url())];
        let mut holder = ChildProcess::own_test("explicit::lease::main", &environment);
        while holder.recv() != ">extended" {}
        let pool = Pool::open(&store.url()).unwrap();
        assert!(lock(&pool).try_acquire_blocking().unwrap().is_none());
        holder.kill();
        let start = Instant::now();
        drop(locked(lock(&pool).acquire_blocking()));
        assert!(start.elapsed() < ms(20_000), "{:?}", start.elapsed());
    });
}

/// Not a test: the main function of a process that holds a lock. In an ordinary run it returns at once.
#[test]
fn main() {
    if std::env::var(PROCESS).is_err() {
        return;
    }
    println!();
    let pool = Pool::open(&std::env::var("DSPINLOCK_URL").unwrap()).unwrap();
    let lease = locked(lock(&pool).lease(ms(60_000)).acquire_blocking());
    lease.extend_blocking(ms(3000)).unwrap();
    // The heartbeat keeps it.
    sleep(ms(4000));
    assert!(!lease.is_lost());
    println!(">extended");
    sleep(ms(60_000));
}

#[test]
fn a_length_outside_of_its_limits_changes_nothing() {
    on_each(|pool| {
        let lock = lock(pool).lease(ms(5000)).max_block_time(ms(20_000));
        let lease = locked(lock.acquire_blocking());
        for length in [Duration::ZERO, ms(99), ms(20_001), Duration::MAX] {
            let error = lease.extend_blocking(length).unwrap_err();
            assert!(
                matches!(error, Error::InvalidOption { .. }),
                "{length:?}: {error}"
            );
        }
        let remaining = lease.remaining();
        assert!(remaining > ms(1000) && remaining <= ms(5000), "{remaining:?}");
        lease.extend_blocking(ms(20_000)).unwrap();
    });
}

#[test]
fn a_lease_is_not_extended_after_max_block_time() {
    on_each(|pool| {
        let lock = lock(pool).lease(ms(900)).max_block_time(ms(1000));
        let lease = locked(lock.acquire_blocking());
        sleep(ms(1050));
        let error = lease.extend_blocking(ms(900)).unwrap_err();
        assert!(error.to_string().contains("`max_block_time` (1s)"), "{error}");
        futures_executor::block_on(lease.lost());
        let error = lease.extend_blocking(ms(900)).unwrap_err();
        assert!(matches!(error, Error::LeaseLost { .. }), "{error}");
    });
}

#[test]
fn a_lost_lease_cannot_be_extended() {
    on_each(|pool| {
        let lease = locked(lock(pool).lease(ms(60_000)).acquire_blocking());
        assert!(lock(pool).delete_state_blocking().unwrap());
        for _ in 0..2 {
            let error = lease.extend_blocking(ms(30_000)).unwrap_err();
            assert!(matches!(error, Error::LeaseLost { .. }), "{error}");
            // The refusal is known at once, without waiting for the heartbeat.
            assert!(lease.is_lost());
        }
        assert!(
            !lock(pool).delete_state_blocking().unwrap(),
            "nothing was written"
        );
    });
}

#[test]
fn a_dropped_future_does_not_stop_the_change() {
    on_each(|pool| {
        let lease = locked(lock(pool).lease(ms(5000)).acquire_blocking());
        {
            let mut extend = pin!(lease.extend(ms(60_000)));
            let _ = extend.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        }
        eventually("the new length", || {
            (lease.remaining() > ms(50_000)).then_some(())
        });
        assert!(remaining_in_store(pool) > ms(50_000));
    });
}

#[test]
fn a_lease_keeps_its_new_length_if_the_store_fails() {
    let server = Redis::start();
    let proxy = Proxy::start(server.port());
    let pool = Pool::builder(&proxy.url())
        .request_timeout(ms(500))
        .open()
        .unwrap();
    let lease = locked(lock(&pool).lease(ms(20_000)).acquire_blocking());
    proxy.stall();
    let error = lease.extend_blocking(ms(60_000)).unwrap_err();
    assert!(matches!(error, Error::Store { .. }), "{error}");
    assert!(!lease.is_lost() && lease.remaining() < ms(20_000));
    proxy.resume();
    eventually("the retry of the heartbeat", || {
        (lease.remaining() > ms(50_000)).then_some(())
    });
    lease.give_up_blocking().unwrap();
}

/// A copy of a RENEW was lost with its connection. It arrives after the extension, and shortens the lease in the store. So
/// the extended lease is renewed as often as the shorter one.
#[test]
fn a_late_copy_of_a_renewal_with_the_former_length_ends_no_lease() {
    let server = Redis::start();
    let proxy = Proxy::start(server.port());
    let pool = Pool::open(&proxy.url()).unwrap();
    let lease = locked(lock(&pool).lease(ms(3000)).acquire_blocking());
    proxy.intercept("RENEW", Stage::Request, Action::Hold);
    proxy.wait_matched();
    proxy.cut();
    eventually("the second copy", || (lease.remaining() > ms(2500)).then_some(()));
    lease.extend_blocking(ms(60_000)).unwrap();
    assert!(lease.remaining() < ms(3000), "{:?}", lease.remaining());
    let left = || match server.raw(&["PTTL", &server.only_name()]) {
        redis::Value::Int(left) => left,
        other => panic!("expected a number, got {other:?}"),
    };
    assert!(left() > 50_000);
    proxy.resume();
    eventually("the late copy", || (left() <= 3000).then_some(()));
    for _ in 0..50 {
        sleep(ms(100));
        assert!(!lease.is_lost() && left() > 0);
    }
    lease.give_up_blocking().unwrap();
}

/// A waiter that polls the key, for instance of Python, would never see the gap between two holders.
#[test]
fn a_lock_that_is_given_up_is_not_handed_on() {
    let server = Redis::start();
    let proxy = Proxy::start(server.port());
    let pool = Pool::open(&proxy.url()).unwrap();
    let lease = locked(lock(&pool).acquire_blocking());
    std::thread::scope(|scope| {
        let next = scope.spawn(|| drop(locked(lock(&pool).acquire_blocking())));
        sleep(ms(50));
        proxy.intercept("RELEASE", Stage::Reply, Action::Hold);
        let before = proxy.requests("ACQUIRE");
        let giving_up = scope.spawn(|| lease.give_up_blocking());
        proxy.wait_matched();
        sleep(ms(30));
        assert_eq!(proxy.requests("ACQUIRE"), before);
        proxy.resume();
        giving_up.join().unwrap().unwrap();
        next.join().unwrap();
    });
}

/// The store has executed the renewal, but its reply does not arrive.
#[test]
fn a_shorter_length_counts_before_the_store_confirms_it() {
    let server = Redis::start();
    let proxy = Proxy::start(server.port());
    let pool = Pool::builder(&proxy.url())
        .request_timeout(ms(500))
        .open()
        .unwrap();
    let lease = locked(lock(&pool).lease(ms(60_000)).acquire_blocking());
    proxy.stall_replies();
    let start = Instant::now();
    assert!(lease.extend_blocking(ms(3000)).is_err());
    assert!(lease.remaining() <= ms(2890), "{:?}", lease.remaining());
    futures_executor::block_on(lease.lost());
    assert!(start.elapsed() < ms(6000), "{:?}", start.elapsed());
    // Each retry of the heartbeat was executed too.
    proxy.resume();
    eventually("the ABORT", || server.keys().is_empty().then_some(()));
}
