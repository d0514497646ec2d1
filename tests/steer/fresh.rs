//! `dspinlock::fresh`: a call that accepts no value that was stored before it.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use dspinlock::{Error, dspinlock, fresh, fresh_blocking};

use crate::keeping::Runs;
use crate::stores::Backend;

#[dspinlock(key = id, cached_if_computed)]
fn value(id: u64, runs: &Runs) -> Result<usize, Error> {
    thread::sleep(Duration::from_millis(200));
    Ok(runs.add())
}

#[dspinlock(key = id, cached_if_computed, near_cache = "1m")]
async fn near(id: u64, runs: &Runs) -> Result<usize, Error> {
    Ok(runs.add())
}

#[dspinlock(key = id, cached_if_computed)]
fn outer(id: u64, runs: &Runs) -> Result<usize, Error> {
    value(id, runs)
}

#[test]
fn a_fresh_call_computes_anew_and_stores_its_result() {
    for backend in Backend::all() {
        let [pool, other] = backend.pools("a_fresh_call");
        let runs = Runs::default();
        let call = || pool.scope_blocking(|| value(1, &runs)).expect("a value");
        assert_eq!((call(), call()), (1, 1));
        assert_eq!(fresh_blocking(call), 2);
        assert_eq!(call(), 2, "{backend:?}");
        assert_eq!(other.scope_blocking(|| value(1, &runs)).expect("a value"), 2);
        assert_eq!(
            fresh_blocking(|| (call(), call())),
            (3, 4),
            "each call of the closure"
        );
    }
}

#[test]
fn fresh_calls_of_all_processes_share_one_run() {
    for backend in Backend::all() {
        let pools = backend.pools("share_one_run");
        let runs = Runs::default();
        pools[0].scope_blocking(|| value(1, &runs)).expect("a value");
        let barrier = Barrier::new(16);
        let values: Vec<_> = thread::scope(|threads| {
            let (pools, runs, barrier) = (&pools, &runs, &barrier);
            let calls = (0..16).map(|at| {
                threads.spawn(move || {
                    barrier.wait();
                    fresh_blocking(|| pools[at % 2].scope_blocking(|| value(1, runs))).expect("a value")
                })
            });
            let calls: Vec<_> = calls.collect();
            calls
                .into_iter()
                .map(|call| call.join().expect("no panic"))
                .collect()
        });
        assert!(values.iter().all(|value| *value >= 2), "{backend:?}: {values:?}");
        // A call may look so late that the first run has ended.
        assert!(runs.count() <= 4, "{backend:?}: {} runs", runs.count());
    }
}

#[tokio::test]
async fn a_body_is_not_fresh_and_the_near_cache_is_passed_by() {
    for backend in Backend::all() {
        let [pool, _] = backend.pools("a_body_is_not_fresh");
        let runs = Runs::default();
        let first = pool.scope_blocking(|| outer(1, &runs)).expect("a value");
        let again = fresh_blocking(|| pool.scope_blocking(|| outer(1, &runs))).expect("a value");
        assert_eq!((first, again), (1, 1), "{backend:?}: the inner value is stored");
        let runs = Runs::default();
        for expected in [1, 1] {
            assert_eq!(pool.scope(near(1, &runs)).await.expect("a value"), expected);
        }
        assert_eq!(
            fresh(pool.scope(near(1, &runs))).await.expect("a value"),
            2,
            "{backend:?}"
        );
        assert_eq!(
            pool.scope(near(1, &runs)).await.expect("a value"),
            2,
            "{backend:?}"
        );
    }
}
