//! `on_store_error = run_unlocked`: the store cannot be asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dspinlock::{Error, Pool, dspinlock};
use dspinlock_testkit::{Proxy, Redis, eventually};

use crate::keeping::Runs;

/// How many bodies run at the same time.
#[derive(Clone, Default)]
struct Gauge {
    now: Arc<AtomicUsize>,
    max: Arc<AtomicUsize>,
}

impl Gauge {
    fn run(&self, time: Duration) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.max.fetch_max(now, Ordering::SeqCst);
        thread::sleep(time);
        self.now.fetch_sub(1, Ordering::SeqCst);
    }
}

#[dspinlock(key = id, cached_if_computed, on_store_error = run_unlocked)]
fn value(id: u64, runs: &Runs, gauge: &Gauge) -> Result<usize, Error> {
    gauge.run(Duration::from_millis(100));
    Ok(runs.add())
}

#[dspinlock(key = id, cached_if_computed, on_store_error = run_unlocked)]
async fn quick(id: u64, runs: &Runs) -> Result<usize, Error> {
    Ok(runs.add())
}

#[dspinlock(key = id, on_store_error = run_unlocked, wait = "0s")]
fn brief(id: u64, gauge: &Gauge) -> Result<(), Error> {
    gauge.run(Duration::from_millis(300));
    Ok(())
}

#[dspinlock(key = id, on_store_error = run_unlocked)]
fn uncached(id: u64, gauge: &Gauge) -> Result<(), Error> {
    gauge.run(Duration::from_millis(20));
    Ok(())
}

/// A server behind a proxy, and a pool with a short time limit.
fn behind_a_proxy() -> (Redis, Proxy, Pool) {
    let server = Redis::start();
    let proxy = Proxy::start(server.port());
    let pool = Pool::builder(&proxy.url())
        .request_timeout(Duration::from_millis(500))
        .open()
        .expect("a pool");
    (server, proxy, pool)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_black_hole_costs_one_time_limit() {
    let (_server, proxy, pool) = behind_a_proxy();
    let runs = Runs::default();
    assert_eq!(pool.scope(quick(1, &runs)).await.expect("a value"), 1);
    assert_eq!(pool.scope(quick(1, &runs)).await.expect("a value"), 1);
    proxy.stall();
    assert_eq!(
        pool.scope(quick(1, &runs)).await.expect("a value"),
        2,
        "the first failure"
    );
    let mut slowest = Duration::ZERO;
    let start = Instant::now();
    let mut calls = 0;
    while start.elapsed() < Duration::from_secs(3) {
        let begun = Instant::now();
        let before = runs.count();
        assert_eq!(
            pool.scope(quick(calls, &runs)).await.expect("a value"),
            before + 1
        );
        slowest = slowest.max(begun.elapsed());
        calls += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Far below each time limit, with a margin for a loaded machine.
    assert!(
        slowest < Duration::from_millis(200),
        "{calls} calls, the slowest {slowest:?}"
    );
    proxy.resume();
    let gauge = Gauge::default();
    eventually("the store is asked again", || {
        let call = || pool.scope_blocking(|| value(7, &runs, &gauge)).expect("a value");
        (call() == call()).then_some(())
    });
}

#[test]
fn without_the_store_one_body_runs_at_a_time_and_passes_its_value_on() {
    let (_server, proxy, pool) = behind_a_proxy();
    let (runs, gauge) = (Runs::default(), Gauge::default());
    proxy.stall();
    thread::scope(|threads| {
        let calls: Vec<_> = (0..16)
            .map(|_| threads.spawn(|| pool.scope_blocking(|| value(1, &runs, &gauge)).expect("a value")))
            .collect();
        let values: Vec<_> = calls
            .into_iter()
            .map(|call| call.join().expect("no panic"))
            .collect();
        assert!(values.iter().all(|value| *value == values[0]), "{values:?}");
    });
    assert_eq!((runs.count(), gauge.max.load(Ordering::SeqCst)), (1, 1));
    let gauge = Gauge::default();
    thread::scope(|threads| {
        for _ in 0..16 {
            threads.spawn(|| pool.scope_blocking(|| uncached(1, &gauge)).expect("a run"));
        }
    });
    assert_eq!(gauge.max.load(Ordering::SeqCst), 1, "uncached");
}

#[test]
fn a_call_that_does_not_wait_is_busy_if_another_one_of_the_process_runs() {
    let pool = Pool::open("redis://127.0.0.1:1").expect("a pool");
    let gauge = Gauge::default();
    let outcomes: Vec<_> = thread::scope(|threads| {
        let calls: Vec<_> = (0..4)
            .map(|_| threads.spawn(|| pool.scope_blocking(|| brief(1, &gauge))))
            .collect();
        calls
            .into_iter()
            .map(|call| call.join().expect("no panic"))
            .collect()
    });
    assert_eq!(gauge.max.load(Ordering::SeqCst), 1);
    assert!(outcomes.iter().any(Result::is_ok), "{outcomes:?}");
    for outcome in outcomes {
        assert!(
            matches!(outcome, Ok(()) | Err(Error::SpinlockTriesExceeded { .. })),
            "{outcome:?}"
        );
    }
}

#[test]
fn a_held_key_is_never_computed_without_the_lock() {
    let server = Redis::start();
    let pools = [(); 2].map(|()| Pool::open(&server.url()).expect("a pool"));
    let gauge = Gauge::default();
    thread::scope(|threads| {
        let (pools, gauge) = (&pools, &gauge);
        threads.spawn(|| pools[0].scope_blocking(|| brief(2, gauge)).expect("a run"));
        thread::sleep(Duration::from_millis(100));
        let busy = pools[1].scope_blocking(|| brief(2, gauge));
        assert!(
            matches!(busy, Err(Error::SpinlockTriesExceeded { .. })),
            "{busy:?}"
        );
    });
}

#[dspinlock(key = id, cached_if_computed, on_store_error = run_unlocked, wait = "0s")]
fn brief_value(id: u64, runs: &Runs) -> Result<usize, Error> {
    Ok(runs.add())
}

#[dspinlock(key = id, on_store_error = run_unlocked, wait = "20s", lease = "600ms", name = "steer::away::patient")]
fn patient(id: u64, gauge: &Gauge) -> Result<(), Error> {
    gauge.run(Duration::ZERO);
    Ok(())
}

#[dspinlock(key = id, wait = "20s", lease = "600ms", name = "steer::away::patient")]
fn holds(id: u64, time: Duration) -> Result<(), Error> {
    let _ = id;
    thread::sleep(time);
    Ok(())
}

#[dspinlock(key = id, on_store_error = run_unlocked)]
fn recursive(id: u64) -> Result<(), Error> {
    assert!(dspinlock::current().is_none());
    recursive(id)
}

#[test]
fn calls_that_do_not_wait_share_a_stored_value_of_a_store_that_replies() {
    let server = Redis::start();
    let pool = Pool::open(&server.url()).expect("a pool");
    let runs = Runs::default();
    pool.scope_blocking(|| brief_value(1, &runs)).expect("a value");
    for _ in 0..20 {
        thread::scope(|threads| {
            for _ in 0..8 {
                threads.spawn(|| {
                    let value = pool.scope_blocking(|| brief_value(1, &runs));
                    assert_eq!(value.expect("the stored value"), 1);
                });
            }
        });
    }
}

#[tokio::test]
async fn a_store_that_is_back_is_asked_by_the_next_call_if_nobody_has_called_since() {
    let (server, proxy, pool) = behind_a_proxy();
    let other = Pool::open(&server.url()).expect("a pool");
    let runs = Runs::default();
    proxy.stall();
    assert_eq!(pool.scope(quick(1, &runs)).await.expect("a value"), 1);
    proxy.resume();
    assert_eq!(other.scope(quick(1, &runs)).await.expect("a value"), 2);
    // Two probes at most.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(pool.scope(quick(1, &runs)).await.expect("a value"), 2);
}

#[test]
fn a_call_that_waits_runs_unlocked_after_the_lease_of_the_last_holder() {
    let (server, proxy, pool) = behind_a_proxy();
    let other = Pool::open(&server.url()).expect("a pool");
    let gauge = Gauge::default();
    thread::scope(|threads| {
        threads.spawn(|| other.scope_blocking(|| holds(1, Duration::from_secs(12))));
        thread::sleep(Duration::from_millis(300));
        let start = Instant::now();
        let waiting = threads.spawn(|| pool.scope_blocking(|| patient(1, &gauge)).expect("a run"));
        thread::sleep(Duration::from_millis(300));
        proxy.stall();
        waiting.join().expect("no panic");
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    });
}

#[test]
fn a_body_without_the_lock_that_calls_itself_is_refused() {
    let pool = Pool::open("redis://127.0.0.1:1").expect("a pool");
    let error = pool
        .scope_blocking(|| recursive(1))
        .expect_err("it waits for itself");
    assert!(matches!(error, Error::Recursion { .. }), "{error:?}");
}
