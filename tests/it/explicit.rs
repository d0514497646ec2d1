//! Explicit locks.

mod all;
mod lease;
mod try_acquire;

use std::sync::Arc;
use std::time::{Duration, Instant};

use dspinlock::{Acquired, DSpinlockBase, Error, HashDSpinlock, Op, Options, Pool};
use dspinlock_testkit::Redis;

use crate::common::lock::{lock, locked};
use crate::common::store::Store;

/// Runs `test` with a pool of each kind of store.
fn on_each(test: impl Fn(&Pool) + Sync) {
    Store::on_each(|store| test(&Pool::open(&store.url()).unwrap()));
}

#[test]
fn a_release_leaves_computed_and_fences_grow() {
    on_each(|pool| {
        let lease = locked(lock(pool).acquire_blocking());
        assert!(!lease.is_lost());
        let first = lease.fence();
        lease.release_blocking().unwrap();
        let cached = lock(pool).cached_if_computed(true);
        assert!(matches!(cached.acquire_blocking().unwrap(), Acquired::Computed));
        let second = locked(lock(pool).acquire_blocking()).fence();
        assert!(second > first);
    });
}

#[tokio::test]
async fn async_locks_release_cache_and_delete() {
    let pool = Pool::open("sqlite::memory:").unwrap();
    let lease = locked(lock(&pool).acquire().await);
    lease.release().await.unwrap();
    let cached = lock(&pool).cached_if_computed(true);
    assert!(matches!(cached.acquire().await.unwrap(), Acquired::Computed));
    assert!(lock(&pool).delete_state().await.unwrap());
    assert!(!lock(&pool).delete_state().await.unwrap());
    assert!(matches!(cached.acquire().await.unwrap(), Acquired::Locked(_)));
}

#[test]
fn a_dropped_lease_aborts_the_lock() {
    on_each(|pool| {
        let cached = lock(pool).cached_if_computed(true);
        drop(locked(cached.acquire_blocking()));
        let start = Instant::now();
        // The key is not COMPUTED, because the lease was not released.
        drop(locked(cached.acquire_blocking()));
        assert!(start.elapsed() < Duration::from_secs(1));
    });
}

#[test]
fn locks_of_one_key_exclude_each_other() {
    on_each(|pool| {
        let _lease = locked(lock(pool).acquire_blocking());
        let brief = lock(pool)
            .max_spinlock_tries(2)
            .spinlock_sleep_thresh(Duration::from_millis(50));
        let error = brief.acquire_blocking().unwrap_err();
        assert!(matches!(error, Error::SpinlockTriesExceeded { .. }), "{error}");
        let _other = locked(HashDSpinlock::new("other").pool(pool).acquire_blocking());
        let _prefix = locked(lock(pool).prefix("jobs").acquire_blocking());
    });
}

#[test]
fn a_release_of_a_deleted_key_is_an_error() {
    on_each(|pool| {
        let lease = locked(lock(pool).acquire_blocking());
        assert!(lock(pool).delete_state_blocking().unwrap());
        let newer = locked(lock(pool).acquire_blocking());
        assert!(newer.fence() > lease.fence());
        let error = lease.release_blocking().unwrap_err();
        assert!(
            matches!(error, Error::InvalidMutexReleaseEncountered { .. }),
            "{error}"
        );
        newer
            .release_blocking()
            .expect("the newer holder still has the key");
    });
}

#[test]
fn a_lease_of_a_deleted_key_is_lost() {
    on_each(|pool| {
        let lease = locked(lock(pool).lease(Duration::from_millis(300)).acquire_blocking());
        assert!(lock(pool).delete_state_blocking().unwrap());
        futures_executor::block_on(lease.lost());
        assert!(lease.is_lost());
    });
}

#[test]
fn a_lease_is_renewed_until_max_block_time() {
    on_each(|pool| {
        let short = lock(pool)
            .lease(Duration::from_millis(300))
            .max_block_time(Duration::from_millis(1500));
        let start = Instant::now();
        let lease = locked(short.acquire_blocking());
        futures_executor::block_on(lease.lost());
        let elapsed = start.elapsed();
        assert!(
            elapsed > Duration::from_millis(1000) && elapsed < Duration::from_millis(2500),
            "{elapsed:?}"
        );
        let error = lease.release_blocking().unwrap_err();
        assert!(matches!(error, Error::LeaseLost { .. }), "{error}");
        drop(locked(short.acquire_blocking()));
    });
}

/// A custom key scheme.
#[derive(Clone)]
struct Nightly(Pool);

impl DSpinlockBase for Nightly {
    fn key(&self) -> String {
        "reports,nightly".into()
    }

    fn options(&self) -> Options {
        Options::new().cached_if_computed(true)
    }

    fn pool(&self) -> Option<Pool> {
        Some(self.0.clone())
    }
}

#[test]
fn a_custom_key_scheme_works_as_a_trait_object() {
    let server = Redis::start();
    let pool = Pool::open(&server.url()).unwrap();
    let locks: Vec<Arc<dyn DSpinlockBase + Send + Sync>> =
        vec![Arc::new(Nightly(pool.clone())), Arc::new(lock(&pool))];
    for lock in locks {
        // The future outlives the borrow and can be sent to another thread.
        let acquire: Op<Acquired> = lock.acquire();
        let lease = locked(
            std::thread::spawn(|| futures_executor::block_on(acquire))
                .join()
                .unwrap(),
        );
        assert!(server.get(&lock.key()).unwrap().ends_with(",0"));
        lease.release_blocking().unwrap();
        assert!(server.get(&lock.key()).unwrap().ends_with(",1"));
        assert!(lock.delete_state_blocking().unwrap());
        assert!(server.keys().is_empty());
    }
    assert!(matches!(
        Nightly(pool.clone()).acquire_blocking().unwrap(),
        Acquired::Locked(_)
    ));
}

#[test]
fn an_invalid_custom_key_is_refused() {
    struct Bad(String, Pool);
    impl DSpinlockBase for Bad {
        fn key(&self) -> String {
            self.0.clone()
        }
        fn pool(&self) -> Option<Pool> {
            Some(self.1.clone())
        }
    }
    on_each(|pool| {
        for key in ["", "a{b", "a}b", "a\0b", "a\nb", &"x".repeat(513)] {
            let bad = Bad(key.into(), pool.clone());
            let error = bad.acquire_blocking().unwrap_err();
            assert!(matches!(error, Error::InvalidOption { .. }), "{key:?}: {error}");
            assert!(bad.delete_state_blocking().is_err());
        }
    });
}
