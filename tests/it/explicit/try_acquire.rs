//! A lock that is acquired only if it is free.

use std::time::{Duration, Instant};

use dspinlock::{Acquired, DSpinlockBase, Error, Wait};
use dspinlock_testkit::{Job, Worker};

use super::on_each;
use crate::common::lock::{lock, locked};
use crate::common::store::Store;

/// Far longer than a round trip, and far shorter than the `wait` of these tests.
const AT_ONCE: Duration = Duration::from_secs(3);

#[test]
fn a_free_lock_is_acquired_and_a_busy_one_is_none_at_once() {
    on_each(|pool| {
        let lock = lock(pool).wait(Wait::Forever);
        let held = lock.try_acquire_blocking().unwrap();
        assert!(matches!(held, Some(Acquired::Locked(_))), "{held:?}");
        let start = Instant::now();
        assert!(lock.try_acquire_blocking().unwrap().is_none());
        let as_trait: &dyn DSpinlockBase = &lock;
        assert!(as_trait.try_acquire_blocking().unwrap().is_none());
        assert!(futures_executor::block_on(lock.try_acquire()).unwrap().is_none());
        assert!(start.elapsed() < AT_ONCE, "{:?}", start.elapsed());
        drop(held);
        assert!(lock.try_acquire_blocking().unwrap().is_some());
    });
}

#[test]
fn a_computed_key_is_computed_and_fail_if_key_exists_is_an_error() {
    on_each(|pool| {
        let held = locked(lock(pool).acquire_blocking());
        let once = lock(pool).fail_if_key_exists(true);
        let error = once.try_acquire_blocking().unwrap_err();
        assert!(matches!(error, Error::FailIfKeyExistsIsEnabled { .. }), "{error}");
        held.release_blocking().unwrap();
        let cached = lock(pool).cached_if_computed(true);
        assert!(matches!(
            cached.try_acquire_blocking().unwrap(),
            Some(Acquired::Computed)
        ));
        assert!(matches!(
            lock(pool).try_acquire_blocking().unwrap(),
            Some(Acquired::Locked(_))
        ));
    });
}

#[test]
fn a_lock_of_another_process_is_busy() {
    Store::on_each(|store| {
        let worker = Worker::start(&store.url());
        let held = worker.call(&Job::new("shared", "example").with("body", "gate"));
        held.started();
        let pool = dspinlock::Pool::open(&store.url()).unwrap();
        let lock = lock(&pool).wait(Wait::Forever);
        let start = Instant::now();
        assert!(lock.try_acquire_blocking().unwrap().is_none());
        assert!(start.elapsed() < AT_ONCE, "{:?}", start.elapsed());
        held.open_gate();
        held.result().unwrap();
        assert!(lock.try_acquire_blocking().unwrap().is_some());
    });
}
