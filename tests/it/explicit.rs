//! The explicit API: a lock as an object.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dspinlock::{Acquired, DSpinlockBase, Error, HashDSpinlock, Lease, Op, Options, Pool, RedisParameters};
use dspinlock_testkit::{Redis, eventually};

use crate::common::store::Store;

/// A pool for each kind of store.
fn each(test: impl Fn(&Pool)) {
    for store in Store::each() {
        test(&Pool::open(&store.url()).unwrap());
    }
}

fn lock(pool: &Pool) -> HashDSpinlock {
    HashDSpinlock::new("example").unwrap().pool(pool)
}

#[track_caller]
fn locked(acquired: Result<Acquired, Error>) -> Lease {
    match acquired.unwrap() {
        Acquired::Locked(lease) => lease,
        Acquired::Computed => panic!("nothing was computed"),
    }
}

#[test]
fn a_release_leaves_computed_and_fences_grow() {
    each(|pool| {
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
async fn the_same_without_blocking() {
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
fn a_lease_that_is_dropped_gives_the_key_up() {
    each(|pool| {
        let cached = lock(pool).cached_if_computed(true);
        drop(locked(cached.acquire_blocking()));
        let start = Instant::now();
        // Not COMPUTED: the work was not done.
        drop(locked(cached.acquire_blocking()));
        assert!(start.elapsed() < Duration::from_secs(1));
    });
}

#[test]
fn two_locks_of_one_key_exclude_each_other_and_others_do_not() {
    each(|pool| {
        let _lease = locked(lock(pool).acquire_blocking());
        let brief = lock(pool)
            .max_spinlock_tries(2)
            .spinlock_sleep_thresh(Duration::from_millis(50));
        let error = brief.acquire_blocking().unwrap_err();
        assert!(matches!(error, Error::SpinlockTriesExceeded { .. }), "{error}");
        let _other = locked(HashDSpinlock::new("other").unwrap().pool(pool).acquire_blocking());
        let _prefix = locked(lock(pool).prefix("jobs").acquire_blocking());
    });
}

#[test]
fn a_release_after_the_key_was_deleted_is_an_error() {
    each(|pool| {
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
            .expect("the newer holder was not disturbed");
    });
}

#[test]
fn a_lease_learns_that_its_key_was_taken() {
    each(|pool| {
        let lease = locked(lock(pool).lease(Duration::from_millis(300)).acquire_blocking());
        assert!(lock(pool).delete_state_blocking().unwrap());
        futures_executor::block_on(lease.lost());
        assert!(lease.is_lost());
    });
}

#[test]
fn a_lease_is_kept_beyond_its_length_and_ends_at_max_block_time() {
    each(|pool| {
        let short = lock(pool)
            .lease(Duration::from_millis(300))
            .max_block_time(Duration::from_millis(1500));
        let start = Instant::now();
        let lease = locked(short.acquire_blocking());
        futures_executor::block_on(lease.lost());
        let took = start.elapsed();
        assert!(
            took > Duration::from_millis(1000) && took < Duration::from_millis(2500),
            "{took:?}"
        );
        let error = lease.release_blocking().unwrap_err();
        assert!(matches!(error, Error::LeaseLost { .. }), "{error}");
        drop(locked(short.acquire_blocking()));
    });
}

/// A key scheme of one's own.
#[derive(Clone)]
struct Nightly(Pool);

impl DSpinlockBase for Nightly {
    fn key(&self) -> String {
        "reports,nightly".into()
    }

    fn options(&self) -> Options {
        Options {
            cached_if_computed: true,
            ..Options::default()
        }
    }

    fn pool(&self) -> Option<Pool> {
        Some(self.0.clone())
    }
}

#[test]
fn a_key_scheme_of_ones_own_behind_a_trait_object() {
    let server = Redis::start();
    let pool = Pool::open(&server.url()).unwrap();
    let locks: Vec<Arc<dyn DSpinlockBase + Send + Sync>> =
        vec![Arc::new(Nightly(pool.clone())), Arc::new(lock(&pool))];
    for lock in locks {
        // The future outlives the borrow and may go to another thread.
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
fn a_key_of_ones_own_that_cannot_be_one() {
    struct Bad(String, Pool);
    impl DSpinlockBase for Bad {
        fn key(&self) -> String {
            self.0.clone()
        }
        fn pool(&self) -> Option<Pool> {
            Some(self.1.clone())
        }
    }
    each(|pool| {
        for key in ["", "a{b", "a}b", "a\0b", "a\nb", &"x".repeat(513)] {
            let bad = Bad(key.into(), pool.clone());
            let error = bad.acquire_blocking().unwrap_err();
            assert!(matches!(error, Error::Configuration(_)), "{key:?}: {error}");
            assert!(bad.delete_state_blocking().is_err());
        }
    });
}

#[test]
fn parameters_have_the_defaults_of_python_and_reach_a_server() {
    let defaults = RedisParameters::default();
    assert_eq!(
        (
            defaults.redis_host.as_str(),
            defaults.rdb,
            defaults.port,
            defaults.ssl
        ),
        ("localhost", 0, 6379, false)
    );
    assert_eq!(defaults.socket_connect_timeout, Duration::from_secs(2));
    let server = Redis::with(&["--requirepass", "right"]);
    let pool = Pool::connect(RedisParameters {
        redis_host: "127.0.0.1".into(),
        port: server.port(),
        rdb: 3,
        password: Some("right".into()),
        ..RedisParameters::default()
    })
    .unwrap();
    let _lease = locked(lock(&pool).acquire_blocking());
    assert!(server.keys().is_empty(), "database 0 is not the one in use");
    let used: String = format!("{:?}", server.raw(&["INFO", "keyspace"]));
    assert!(used.contains("db3:keys=2"), "{used}");
}

#[test]
fn every_kind_of_url_reaches_its_server() {
    let server = Redis::start();
    server.raw(&[
        "ACL",
        "SETUSER",
        "worker",
        "on",
        ">pass word",
        "~dspinlock*",
        "~{dspinlock*",
        "+@all",
    ]);
    let (port, socket) = (server.port(), server.socket());
    for url in [
        format!("redis://127.0.0.1:{port}"),
        format!("valkey://127.0.0.1:{port}"),
        format!("redis://localhost:{port}/2"),
        format!("redis://worker:pass%20word@127.0.0.1:{port}"),
        format!("redis+unix://{}", socket.display()),
        format!(
            "redis+unix://{}?db=2&user=worker&pass=pass%20word",
            socket.display()
        ),
    ] {
        let pool = Pool::open(&url).unwrap();
        let lease = locked(lock(&pool).acquire_blocking());
        lease
            .release_blocking()
            .unwrap_or_else(|error| panic!("{url}: {error}"));
        assert!(lock(&pool).delete_state_blocking().unwrap());
    }
}

#[test]
fn valkey_serves_as_redis_does() {
    let server = Redis::valkey();
    let pool = Pool::open(&server.url().replace("redis:", "valkey:")).unwrap();
    locked(lock(&pool).acquire_blocking()).release_blocking().unwrap();
    let cached = lock(&pool).cached_if_computed(true);
    assert!(matches!(cached.acquire_blocking().unwrap(), Acquired::Computed));
}

#[test]
fn a_pool_goes_on_after_its_server_was_restarted() {
    let mut server = Redis::start();
    let pool = Pool::open(&server.url()).unwrap();
    let lease = locked(lock(&pool).acquire_blocking());
    server.restart();
    // The scripts, the connection and the state are gone with the old server.
    let fresh = eventually("the new server to be used", || {
        lock(&pool).acquire_blocking().ok()
    });
    assert!(locked(Ok(fresh)).fence() > lease.fence());
    assert!(lease.release_blocking().is_err());
}

#[test]
fn a_process_has_one_pool() {
    crate::attribute::caching::in_memory();
    let second = dspinlock::init(Pool::open("sqlite::memory:").unwrap());
    assert!(matches!(second, Err(Error::Configuration(_))));
}
