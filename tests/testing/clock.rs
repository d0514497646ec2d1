//! What the clock of the pool moves: waits, leases, ages.

use std::thread;
use std::time::{Duration, Instant};

use dspinlock::{Error, HashDSpinlock, Pool, Status, TestPool, Wait, dspinlock};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[dspinlock(cached_if_computed, ttl = "1h", wait = "10m", entry = price_entry)]
async fn price(id: u64) -> Result<u64, Error> {
    Ok(id * 3)
}

#[dspinlock(cached_if_computed, ttl = "1h", wait = "10m", entry = sync_price_entry)]
fn sync_price(id: u64) -> Result<u64, Error> {
    Ok(id * 3)
}

/// Asserts that the call has waited exactly so long by the clock of the pool.
#[track_caller]
fn assert_timed_out<T: std::fmt::Debug>(outcome: Result<T, Error>, after: Duration) {
    match outcome {
        Err(Error::SpinlockTriesExceeded { waited, .. }) => assert_eq!(waited, after),
        other => panic!("expected a time-out, got {other:?}"),
    }
}

/// A time that no test takes: the longest wait here is ten minutes.
#[track_caller]
fn assert_quick(start: Instant) {
    assert!(start.elapsed() < secs(60), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_call_that_waits_for_another_process_times_out_at_its_time() {
    let (pool, start) = (Pool::for_test(), Instant::now());
    let _bound = pool.bind();
    let _held = pool.hold(&price_entry(7));
    let call = tokio::spawn(price(7));
    pool.waiting(1).await;
    pool.advance(secs(600) - ms(1));
    tokio::task::yield_now().await;
    assert!(!call.is_finished());
    pool.advance(ms(1));
    assert_timed_out(call.await.expect("no panic"), secs(600));
    assert_eq!(pool.computes("price"), 0);
    assert_quick(start);
}

/// It follows the call that computes, without a request.
#[tokio::test]
async fn a_call_that_follows_another_one_times_out_at_its_time() {
    #[dspinlock(cached_if_computed, wait = "10m", lease = "5s")]
    async fn never(_id: u64) -> Result<u64, Error> {
        std::future::pending().await
    }
    let (pool, start) = (Pool::for_test(), Instant::now());
    let _bound = pool.bind();
    let leader = tokio::spawn(never(7));
    while pool.computes("never") == 0 {
        tokio::task::yield_now().await;
    }
    let (followed, ()) = tokio::join!(never(7), async { pool.advance(secs(600)) });
    assert_timed_out(followed, secs(600));
    assert_eq!(pool.computes("never"), 1);
    assert_quick(start);
    leader.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runtime_with_several_threads_makes_no_difference() {
    let pool = Pool::for_test();
    let _bound = pool.bind();
    let _held = pool.hold(&price_entry(7));
    let calls = [(); 4].map(|()| tokio::spawn(price(7)));
    pool.waiting(4).await;
    pool.advance(secs(600));
    for call in calls {
        assert_timed_out(call.await.expect("no panic"), secs(600));
    }
}

/// The clock of tokio is another one: it moves when its runtime is idle.
#[tokio::test(start_paused = true)]
async fn a_paused_runtime_makes_no_difference() {
    let (pool, start) = (Pool::for_test(), tokio::time::Instant::now());
    let _held = pool.hold(&price_entry(7));
    let (call, ()) = tokio::join!(pool.scope(price(7)), async { pool.advance(secs(600)) });
    assert_timed_out(call, secs(600));
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[test]
fn a_thread_times_out_at_its_time() {
    let (pool, start) = (Pool::for_test(), Instant::now());
    let _held = pool.hold(&sync_price_entry(7));
    thread::scope(|threads| {
        let calls = [(); 3].map(|()| threads.spawn(|| pool.scope_blocking(|| sync_price(7))));
        pool.waiting_blocking(3);
        pool.advance(secs(600));
        for call in calls {
            assert_timed_out(call.join().expect("no panic"), secs(600));
        }
    });
    assert_quick(start);
}

#[test]
fn no_call_times_out_while_the_clock_stands() {
    let pool = Pool::for_test();
    let lock = HashDSpinlock::new("report").wait(Wait::AtMost(ms(1))).pool(&pool);
    let held = pool.hold(&lock);
    thread::scope(|threads| {
        let call = threads.spawn(|| lock.acquire_blocking().map(drop));
        pool.waiting_blocking(1);
        thread::sleep(ms(50));
        assert!(!call.is_finished());
        drop(held);
        assert!(call.join().expect("no panic").is_ok());
    });
}

fn is_held(pool: &TestPool, lock: &HashDSpinlock) -> bool {
    lock.clone().pool(pool).is_held_blocking().expect("a reply")
}

#[test]
fn the_heartbeat_renews_a_lease_until_max_block_time() {
    let (pool, start) = (Pool::for_test(), Instant::now());
    let lock = HashDSpinlock::new("report").pool(&pool);
    let lease = pool.hold(&lock); // for 15 s, and at most 30 min
    for _ in 0..29 {
        pool.advance(secs(60));
        assert!(!lease.is_lost() && is_held(&pool, &lock));
        assert!(lease.remaining() >= secs(9), "{:?}", lease.remaining());
    }
    pool.advance(secs(60 + 15));
    assert!(lease.is_lost());
    assert!(!is_held(&pool, &lock));
    assert_quick(start);
}

/// One leap of the clock is many beats.
#[test]
fn a_leap_renews_as_often_as_small_steps() {
    let pool = Pool::for_test();
    let lock = HashDSpinlock::new("report").pool(&pool);
    let lease = pool.hold(&lock);
    pool.advance(secs(29 * 60));
    assert!(!lease.is_lost() && is_held(&pool, &lock));
}

#[test]
fn many_leases_are_renewed_and_a_released_one_is_not() {
    let pool = Pool::for_test();
    let locks: Vec<_> = (0..20)
        .map(|number| HashDSpinlock::new(number).pool(&pool))
        .collect();
    let mut leases: Vec<_> = locks.iter().map(|lock| pool.hold(lock)).collect();
    pool.advance(secs(100));
    leases.truncate(10);
    pool.advance(secs(100));
    let held = locks.iter().map(|lock| is_held(&pool, lock));
    assert_eq!(held.filter(|is_held| *is_held).count(), 10);
    assert!(leases.iter().all(|lease| !lease.is_lost()));
}

/// Its process cannot reach the store any more, so it does not renew its lease.
#[tokio::test]
async fn a_waiting_call_takes_the_key_when_the_lease_of_a_dead_holder_expires() {
    let pool = Pool::for_test();
    let _bound = pool.bind();
    let dead = pool.another_process();
    let held = dead.hold(&price_entry(7));
    dead.fail_next(usize::MAX);
    let call = tokio::spawn(price(7));
    pool.waiting(1).await;
    pool.advance(secs(14));
    assert!(!held.is_lost() && pool.computes("price") == 0);
    pool.advance(secs(2));
    assert_eq!(call.await.expect("no panic").expect("a value"), 21);
    assert!(held.is_lost());
    assert_eq!(pool.computes("price"), 1);
}

#[tokio::test]
async fn a_value_lives_for_its_ttl_and_its_age_is_exact() {
    let pool = Pool::for_test();
    let _bound = pool.bind();
    assert_eq!(price(7).await.expect("a value"), 21);
    pool.advance(secs(3600) - ms(1));
    let stored = price_entry(7).peek().await.expect("a reply").expect("a value");
    assert_eq!((stored.age, stored.remaining), (secs(3600) - ms(1), ms(1)));
    price(7).await.expect("a value");
    assert_eq!(pool.computes("price"), 1);
    pool.advance(ms(1));
    assert_eq!(price_entry(7).status().await.expect("a reply"), Status::Free);
    price(7).await.expect("a value");
    assert_eq!(pool.computes("price"), 2);
}

/// A value in the near cache needs no request, so the outage shows where it comes from.
#[tokio::test]
async fn a_near_value_lives_for_its_age() {
    #[dspinlock(cached_if_computed, ttl = "1h", near_cache = "10s")]
    async fn near(id: u64) -> Result<u64, Error> {
        Ok(id * 3)
    }
    let pool = Pool::for_test();
    let _bound = pool.bind();
    near(7).await.expect("computed");
    near(7).await.expect("read from the store");
    pool.fail_next(usize::MAX);
    assert_eq!(near(7).await.expect("a near value"), 21);
    pool.advance(secs(10) - ms(1));
    assert_eq!(near(7).await.expect("a near value"), 21);
    pool.advance(ms(1));
    assert!(matches!(near(7).await, Err(Error::RedisNotInitialized { .. })));
    assert_eq!(pool.computes("near"), 1);
}

#[tokio::test]
async fn a_stored_error_lives_for_its_err_ttl() {
    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    enum Failure {
        Refused,
        Lock(String),
    }
    impl From<Error> for Failure {
        fn from(error: Error) -> Self {
            Self::Lock(error.to_string())
        }
    }
    #[dspinlock(cached_if_computed, err_ttl = "30s")]
    async fn login(_user: &str) -> Result<u64, Failure> {
        Err(Failure::Refused)
    }
    let pool = Pool::for_test();
    let _bound = pool.bind();
    for (runs, after) in [
        (1, secs(0)),
        (1, secs(29)),
        (2, secs(1)),
        (2, secs(29)),
        (3, secs(1)),
    ] {
        pool.advance(after);
        assert_eq!(login("ann").await, Err(Failure::Refused));
        assert_eq!(pool.computes("login"), runs);
    }
}

#[tokio::test]
async fn a_detached_body_is_stopped_after_max_block_time() {
    #[dspinlock(detach, max_block_time = "10m")]
    async fn hangs(_id: u64) -> Result<u64, Error> {
        std::future::pending().await
    }
    let pool = Pool::for_test();
    let _bound = pool.bind();
    let call = tokio::spawn(hangs(7));
    while pool.computes("hangs") == 0 {
        tokio::task::yield_now().await;
    }
    // The body runs as a task, which begins after it is counted.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    pool.advance(secs(599));
    tokio::task::yield_now().await;
    assert!(!call.is_finished());
    pool.advance(secs(1));
    assert!(matches!(
        call.await.expect("no panic"),
        Err(Error::LeaseLost { .. })
    ));
}

#[tokio::test]
async fn a_closed_pool_waits_for_its_grace_by_the_clock() {
    let (pool, start) = (Pool::for_test(), Instant::now());
    let lock = HashDSpinlock::new("report").pool(&pool);
    let lease = pool.hold(&lock);
    let (given_up, ()) = tokio::join!(pool.close(secs(600)), async {
        pool.advance(secs(599));
        assert!(!lease.is_lost());
        pool.advance(secs(1));
    });
    assert_quick(start);
    assert_eq!(given_up.expect("a pool of this process").len(), 1);
    assert!(lease.is_lost());
    assert!(!lock.is_held().await.expect("a reply"));
    assert!(matches!(lock.acquire().await, Err(Error::Closed)));
}
