//! How long results are kept: `ttl = |value| ...`, `err_ttl`, and results that cannot be stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dspinlock::{Entry, Error, Pool, Status, dspinlock};
use serde::{Deserialize, Serialize};

use crate::stores::Backend;

/// An error that can be recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Failed {
    Body(usize),
    Lock(String),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Lock(error.to_string())
    }
}

/// Counts the runs of a body.
#[derive(Clone, Default)]
pub(crate) struct Runs(Arc<AtomicUsize>);

impl Runs {
    pub(crate) fn add(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

const LONG: Duration = Duration::from_secs(7200);

/// A token with its lifetime, which is its value.
#[dspinlock(key = id, cached_if_computed, ttl = |token| token.map(Duration::from_secs), entry = token_entry)]
async fn token(id: u64, runs: &Runs, secs: Option<u64>) -> Result<Option<u64>, Error> {
    runs.add();
    Ok(secs)
}

#[dspinlock(key = id, cached_if_computed, ttl = |_| LONG, on_error = panic, entry = plain_entry)]
fn plain(id: u64, runs: &Runs) -> usize {
    runs.add()
}

#[dspinlock(key = id, cached_if_computed, err_ttl = LONG, entry = constant_entry)]
fn constant(id: u64, runs: &Runs) -> Result<(), Failed> {
    Err(Failed::Body(runs.add()))
}

#[dspinlock(key = id, cached_if_computed, err_ttl = *keep / 2, entry = expression_entry)]
async fn expression(id: u64, keep: &Duration, runs: &Runs) -> Result<(), Failed> {
    Err(Failed::Body(runs.add()))
}

#[tokio::test]
async fn an_expression_says_how_long_an_error_is_kept() {
    for backend in Backend::all() {
        let pool = backend.pool(&format!("an_expression {}", fastrand::u64(..)));
        let runs = Runs::default();
        for _ in 0..2 {
            assert_eq!(pool.scope_blocking(|| constant(1, &runs)), Err(Failed::Body(1)));
            let outcome = pool.scope(expression(1, &(2 * LONG), &runs)).await;
            assert_eq!(outcome, Err(Failed::Body(2)));
        }
        for left in [
            remaining(constant_entry(1, &runs), &pool),
            remaining(expression_entry(1, &LONG, &runs), &pool),
        ] {
            let left = left.expect("an error is stored");
            assert!(left > LONG / 2 && left <= LONG, "{left:?}");
        }
        let nothing = || pool.scope(expression(2, &Duration::ZERO, &runs));
        assert_eq!(nothing().await, Err(Failed::Body(3)));
        eventually_computed(&runs, nothing).await;
    }
}

/// An error that is not kept stays for the calls that have waited.
async fn eventually_computed<F: Future<Output = Result<(), Failed>>>(runs: &Runs, call: impl Fn() -> F) {
    let start = Instant::now();
    while call().await == Err(Failed::Body(3)) {
        assert!(start.elapsed() < Duration::from_secs(20), "{} runs", runs.count());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[dspinlock(key = id, fail_if_key_exists, ttl = |done: &bool| done.then_some(LONG), entry = job_entry)]
fn job(id: u64, done: bool) -> Result<bool, Error> {
    Ok(done)
}

fn remaining<R>(entry: Entry<R>, pool: &Pool) -> Option<Duration> {
    match entry.pool(pool).status_blocking().expect("a reply") {
        Status::Computed { remaining, .. } => remaining,
        _ => None,
    }
}

#[tokio::test]
async fn a_value_decides_how_long_it_is_kept() {
    for backend in Backend::all() {
        let pool = backend.pool(&format!("a_value_decides {}", fastrand::u64(..)));
        let runs = Runs::default();
        for _ in 0..2 {
            let value = pool.scope(token(1, &runs, Some(7200))).await;
            assert_eq!(value.expect("a value"), Some(7200));
        }
        assert_eq!(runs.count(), 1);
        let left = remaining(token_entry(1, &runs, None), &pool).expect("a value");
        assert!(left > Duration::from_secs(3601) && left <= LONG, "{left:?}");
        for _ in 0..2 {
            let value = pool.scope(token(2, &runs, None)).await;
            assert_eq!(value.expect("a value"), None);
        }
        assert_eq!(runs.count(), 3, "a value without a lifetime is not kept");
        let status = token_entry(2, &runs, None).pool(&pool).status().await;
        assert_eq!(status.expect("a reply"), Status::Free);
        token_entry(3, &runs, None)
            .pool(&pool)
            .prime(&Ok(Some(7200)))
            .await
            .expect("a reply");
        assert!(remaining(token_entry(3, &runs, None), &pool) > Some(Duration::from_secs(3601)));
        let refused = token_entry(3, &runs, None).pool(&pool).prime(&Ok(None)).await;
        assert!(matches!(refused, Err(Error::InvalidOption { .. })), "{refused:?}");
    }
}

#[test]
fn a_function_without_a_result_and_a_job_decide_too() {
    for backend in Backend::all() {
        let pool = backend.pool(&format!("decide_too {}", fastrand::u64(..)));
        pool.scope_blocking(|| {
            let runs = Runs::default();
            assert_eq!((plain(1, &runs), plain(1, &runs)), (1, 1));
            assert!(remaining(plain_entry(1, &runs), &pool) > Some(Duration::from_secs(3601)));
            assert!(!job(1, false).expect("a run"));
            assert!(job(1, true).expect("a run"), "the key was freed");
            assert!(matches!(
                job(1, true),
                Err(Error::FailIfKeyExistsIsEnabled { .. })
            ));
            assert!(remaining(job_entry(1, true), &pool) > Some(Duration::from_secs(3601)));
        });
    }
}

/// Sleeps, so that others wait.
#[dspinlock(key = id, cached_if_computed, ttl = |_| None::<Duration>)]
fn shared_once(id: u64, runs: &Runs) -> Result<usize, Error> {
    thread::sleep(Duration::from_millis(300));
    Ok(runs.add())
}

#[test]
fn calls_of_this_process_that_wait_receive_a_value_that_is_not_kept() {
    for backend in Backend::all() {
        let pool = backend.pool(&format!("that_wait {}", fastrand::u64(..)));
        let runs = Runs::default();
        thread::scope(|threads| {
            let calls: Vec<_> = (0..8)
                .map(|_| threads.spawn(|| pool.scope_blocking(|| shared_once(1, &runs))))
                .collect();
            let values = calls
                .into_iter()
                .map(|call| call.join().expect("no panic").expect("a value"));
            assert!(values.max() <= Some(2), "{backend:?}");
        });
        assert!(runs.count() <= 2, "{backend:?}: {} runs", runs.count());
        let value = pool.scope_blocking(|| shared_once(1, &runs)).expect("a value");
        assert_eq!(value, runs.count(), "it was kept");
    }
}

#[dspinlock(key = id, cached_if_computed, err_ttl = "1h", entry = fails_entry)]
fn fails(id: u64, runs: &Runs) -> Result<u64, Failed> {
    Err(Failed::Body(runs.add()))
}

#[dspinlock(key = id, cached_if_computed, err_ttl = |error: &Failed| match error {
    Failed::Body(2) => Some(LONG),
    _ => None,
})]
async fn fails_by_kind(id: u64, runs: &Runs) -> Result<u64, Failed> {
    Err(Failed::Body(runs.add()))
}

#[dspinlock(key = id, cached_if_computed, err_ttl = "0s")]
fn fails_for_waiters(id: u64, runs: &Runs, pause: Duration) -> Result<u64, Failed> {
    thread::sleep(pause);
    Err(Failed::Body(runs.add()))
}

#[tokio::test]
async fn an_error_is_replayed_for_its_time() {
    for backend in Backend::all() {
        let namespace = format!("is_replayed {}", fastrand::u64(..));
        let pools = [backend.pool(&namespace), backend.pool(&namespace)];
        let runs = Runs::default();
        let [first, other] = &pools;
        for pool in [first, first, other] {
            if backend.is_embedded() && std::ptr::eq(pool, other) {
                continue;
            }
            let error = pool.scope_blocking(|| fails(1, &runs));
            assert_eq!(error, Err(Failed::Body(1)), "{backend:?}");
        }
        let stored = fails_entry(1, &runs)
            .pool(first)
            .peek()
            .await
            .expect("a reply")
            .expect("an error");
        assert_eq!(stored.value, Err(Failed::Body(1)));
        assert!(
            fails_entry(1, &runs)
                .pool(first)
                .invalidate()
                .await
                .expect("a reply")
        );
        assert_eq!(first.scope_blocking(|| fails(1, &runs)), Err(Failed::Body(2)));
        let primed = Err(Failed::Body(77));
        fails_entry(1, &runs)
            .pool(first)
            .prime(&primed)
            .await
            .expect("a reply");
        assert_eq!(first.scope_blocking(|| fails(1, &runs)), primed);
        let runs = Runs::default();
        for expected in [1, 2, 2] {
            let error = first.scope(fails_by_kind(1, &runs)).await;
            assert_eq!(error, Err(Failed::Body(expected)), "{backend:?}");
        }
    }
}

#[test]
fn with_zero_only_those_who_waited_get_the_error() {
    const PAUSE: Duration = Duration::from_secs(1);
    for backend in Backend::all() {
        let pools = backend.pools("with_zero");
        let runs = Runs::default();
        let start = Instant::now();
        thread::scope(|threads| {
            let (pools, runs) = (&pools, &runs);
            let call = move |at: usize| pools[at % 2].scope_blocking(|| fails_for_waiters(1, runs, PAUSE));
            let leader = threads.spawn(move || call(0));
            thread::sleep(PAUSE / 4);
            let waiting = (0..10).map(|at| threads.spawn(move || call(at)));
            for call in waiting.collect::<Vec<_>>().into_iter().chain([leader]) {
                assert_eq!(
                    call.join().expect("no panic"),
                    Err(Failed::Body(1)),
                    "{backend:?}"
                );
            }
        });
        assert!(start.elapsed() < 2 * PAUSE, "{backend:?}: {:?}", start.elapsed());
        for (pool, expected) in [(&pools[0], 2), (&pools[1], 3)] {
            let error = pool.scope_blocking(|| fails_for_waiters(1, &runs, Duration::ZERO));
            assert_eq!(error, Err(Failed::Body(expected)), "{backend:?}");
        }
    }
}

/// A value that cannot be encoded.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Opaque;

impl Serialize for Opaque {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("it has no form"))
    }
}

#[dspinlock(key = id, cached_if_computed)]
fn opaque(id: u64, runs: &Runs) -> Result<Opaque, Error> {
    runs.add();
    Ok(Opaque)
}

#[dspinlock(key = id, cached_if_computed, entry = large_entry)]
async fn large(id: u64, runs: &Runs) -> Result<String, Error> {
    runs.add();
    Ok("x".repeat(2000))
}

#[dspinlock(key = id, cached_if_computed, fail_if_key_exists, entry = large_job_entry)]
fn large_job(id: u64) -> Result<String, Error> {
    Ok("x".repeat(2000))
}

#[tokio::test]
async fn a_result_that_cannot_be_stored_is_returned() {
    for backend in Backend::all() {
        let pool = backend.builder(&format!("is_returned {}", fastrand::u64(..)));
        let pool = pool.max_value_size(1000).open().expect("a pool");
        let runs = Runs::default();
        for expected in [1, 2] {
            assert_eq!(pool.scope_blocking(|| opaque(1, &runs)).expect("a value"), Opaque);
            assert_eq!(runs.count(), expected);
        }
        for expected in [3, 4] {
            assert_eq!(pool.scope(large(1, &runs)).await.expect("a value").len(), 2000);
            assert_eq!(runs.count(), expected);
            let status = large_entry(1, &runs).pool(&pool).status().await;
            assert_eq!(
                status.expect("a reply"),
                Status::Free,
                "{backend:?}: its key is freed"
            );
        }
        assert_eq!(pool.scope_blocking(|| large_job(1)).expect("a value").len(), 2000);
        let again = pool.scope_blocking(|| large_job(1));
        assert!(
            matches!(again, Err(Error::FailIfKeyExistsIsEnabled { .. })),
            "{again:?}"
        );
        let primed = large_entry(2, &runs)
            .pool(&pool)
            .prime(&Ok("x".repeat(2000)))
            .await;
        assert!(matches!(primed, Err(Error::ValueTooLarge { .. })), "{primed:?}");
    }
}
