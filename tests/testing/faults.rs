//! What a test breaks: requests that fail or are slow, and lost pushes.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use dspinlock::{Error, HashDSpinlock, Pool, Status, StoreFailure, dspinlock};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[dspinlock(cached_if_computed, near_cache = "1h", ttl = "2h", entry = price_entry)]
async fn price(id: u64) -> Result<u64, Error> {
    Ok(id * 3)
}

#[tokio::test]
async fn as_many_requests_fail_as_the_test_says() {
    let pool = Pool::for_test();
    let lock = HashDSpinlock::new("report").pool(&pool);
    for failures in [0, 1, 5] {
        pool.fail_next(failures);
        for _ in 0..failures {
            assert!(matches!(
                lock.status().await,
                Err(Error::RedisNotInitialized { .. })
            ));
        }
        assert_eq!(lock.status().await.expect("a reply"), Status::Free);
    }
    pool.fail_next(usize::MAX);
    assert!(lock.status().await.is_err());
    pool.fail_next(0);
    assert!(lock.status().await.is_ok());
}

#[tokio::test]
async fn a_failed_publish_leaves_the_key_free() {
    #[dspinlock(cached_if_computed)]
    async fn cut_off(id: u64) -> Result<u64, Error> {
        POOL.with(|pool| pool.fail_next(1));
        Ok(id * 3)
    }
    thread_local! {
        static POOL: dspinlock::TestPool = Pool::for_test();
    }
    let pool = POOL.with(Clone::clone);
    let _bound = pool.bind();
    for runs in [1, 2] {
        assert_eq!(cut_off(7).await.expect("the body has run"), 21);
        assert_eq!(pool.computes("cut_off"), runs);
    }
}

#[test]
fn a_function_runs_without_the_lock_until_the_store_is_back() {
    #[dspinlock(cached_if_computed, on_store_error = run_unlocked, entry = away_entry)]
    fn away(id: u64) -> Result<u64, Error> {
        Ok(id * 3)
    }
    let pool = Pool::for_test();
    let _bound = pool.bind();
    pool.fail_next(usize::MAX);
    for runs in 1..=3 {
        assert_eq!(away(7).expect("the body has run"), 21);
        assert_eq!(pool.computes("away"), runs);
    }
    pool.fail_next(0);
    // A probe asks every 250 ms. Until then, no call asks.
    away(7).expect("the body has run");
    assert!(away_entry(7).peek_blocking().expect("a reply").is_none());
    pool.advance(Duration::from_millis(250));
    for _ in 0..2 {
        away(7).expect("a value");
        assert_eq!(pool.computes("away"), 5);
    }
    assert!(away_entry(7).peek_blocking().expect("a reply").is_some());
}

#[tokio::test]
async fn on_error_run_unlocked_runs_the_body_of_a_call_that_fails() {
    #[dspinlock(cached_if_computed, on_error = run_unlocked)]
    async fn unlocked(id: u64) -> u64 {
        id * 3
    }
    let pool = Pool::for_test();
    let _bound = pool.bind();
    pool.fail_next(1);
    for runs in [1, 2, 2] {
        assert_eq!(unlocked(7).await, 21);
        assert_eq!(pool.computes("unlocked"), runs);
    }
}

#[tokio::test]
async fn a_waiting_call_outlasts_an_outage() {
    let pool = Pool::for_test();
    let _bound = pool.bind();
    let there = pool.another_process();
    let held = there.hold(&price_entry(7));
    let call = tokio::spawn(price(7));
    pool.waiting(1).await;
    pool.fail_next(3);
    drop(held);
    pool.advance(secs(2));
    assert_eq!(call.await.expect("no panic").expect("a value"), 21);
}

#[tokio::test]
async fn a_slow_reply_takes_its_time_by_the_clock_of_the_pool() {
    let pool = Pool::for_test();
    let lock = HashDSpinlock::new("report").pool(&pool);
    pool.delay_next(secs(4));
    let mut status = pin!(lock.status());
    let mut poll = || status.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(poll().is_pending());
    pool.advance(Duration::from_millis(3999));
    assert!(poll().is_pending());
    pool.advance(Duration::from_millis(1));
    assert!(poll().is_ready());
    assert!(lock.status().await.is_ok(), "only one reply is slow");
}

#[tokio::test]
async fn a_reply_that_is_too_slow_is_a_time_out_of_the_request() {
    let pool = Pool::for_test();
    let lock = HashDSpinlock::new("report").pool(&pool);
    pool.delay_next(secs(60));
    let (lease, ()) = tokio::join!(lock.acquire(), async { pool.advance(secs(5)) });
    let Err(Error::Store { reason, .. }) = lease else {
        panic!("the request has a reply")
    };
    assert!(matches!(reason, StoreFailure::Timeout));
    // The store has executed the ACQUIRE. The failed call has aborted it.
    assert_eq!(lock.status().await.expect("a reply"), Status::Free);
}

#[tokio::test]
async fn a_call_that_is_dropped_during_a_slow_request_leaves_no_lock() {
    let pool = Pool::for_test();
    let lock = HashDSpinlock::new("report").pool(&pool);
    pool.delay_next(secs(1));
    let mut acquire = Box::pin(lock.acquire());
    assert!(
        acquire
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    );
    assert!(lock.is_held().await.expect("a reply"));
    drop(acquire);
    assert_eq!(lock.status().await.expect("a reply"), Status::Free);
}

#[tokio::test]
async fn without_pushes_a_waiting_call_looks_again_after_its_sleep() {
    for drops in [false, true] {
        let pool = Pool::for_test();
        let _bound = pool.bind();
        let held = pool.hold(&price_entry(7));
        let call = tokio::spawn(price(7));
        pool.waiting(1).await;
        if drops {
            pool.drop_wakeups();
        }
        drop(held);
        // Everything that was woken runs.
        pool.advance(Duration::from_millis(400));
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert_eq!(pool.computes("price"), usize::from(!drops));
        pool.advance(Duration::from_millis(100));
        assert_eq!(call.await.expect("no panic").expect("a value"), 21);
    }
}

#[tokio::test]
async fn without_pushes_a_near_value_outlives_its_invalidation_until_its_age() {
    for drops in [false, true] {
        let pool = Pool::for_test();
        let there = pool.another_process();
        for _ in 0..3 {
            pool.scope(price(7)).await.expect("a value");
        }
        if drops {
            pool.drop_wakeups();
        }
        let invalidated = price_entry(7).pool(&there).invalidate();
        assert!(invalidated.await.expect("a reply"));
        pool.scope(price(7)).await.expect("a value");
        let computes = [2, 1][usize::from(drops)];
        assert_eq!(pool.computes("price"), computes);
        pool.advance(secs(3600));
        pool.scope(price(7)).await.expect("a value");
        assert_eq!(pool.computes("price"), 2);
    }
}
