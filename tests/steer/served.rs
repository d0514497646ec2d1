//! `dspinlock::served`: how a call was served. Every function returns the fence of the lease under which its body has run.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::{Duration, Instant};

use dspinlock::{
    Error, HashDSpinlock, How, Pool, Served, dspinlock, fresh, fresh_blocking, served, served_blocking,
};
use serde::{Deserialize, Serialize};

use crate::keeping::Runs;
use crate::stores::Backend;

/// The outcome of a call that is served.
type Outcome<T> = (Result<u64, T>, Option<Served>);

/// The fence of the running body, or 0 without the lock.
pub(crate) fn fence() -> u64 {
    dspinlock::current().map_or(0, |lease| lease.fence())
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Failed {
    Body(u64),
    Lock(String),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Lock(error.to_string())
    }
}

/// A sync and an async twin of each function.
macro_rules! twins {
    ($($name:ident, $polled:ident [$($argument:tt)*] -> $output:ty { $($body:tt)* })*) => {$(
        #[dspinlock(key = id, $($argument)*)]
        fn $name(id: u64) -> $output { $($body)* }

        #[dspinlock(key = id, $($argument)*)]
        async fn $polled(id: u64) -> $output { $($body)* }
    )*};
}

twins! {
    value, value_polled [cached_if_computed] -> Result<u64, Error> { Ok(fence()) }
    near, near_polled [cached_if_computed, near_cache = "1m"] -> Result<u64, Error> { Ok(fence()) }
    error, error_polled [cached_if_computed, err_ttl = "1m"] -> Result<u64, Failed> { Err(Failed::Body(fence())) }
    unlocked, unlocked_polled [cached_if_computed, on_store_error = run_unlocked] -> Result<u64, Error> { Ok(fence()) }
}

#[dspinlock(key = id, cached_if_computed)]
fn slow(id: u64) -> Result<u64, Error> {
    thread::sleep(Duration::from_millis(300));
    Ok(fence())
}

#[dspinlock(key = id, cached_if_computed)]
async fn slow_polled(id: u64) -> Result<u64, Error> {
    tokio::time::sleep(Duration::from_millis(300)).await;
    Ok(fence())
}

#[dspinlock(name = "", key = id, cached_if_computed)]
fn shared(id: u64) -> Result<(), Error> {
    let _ = id;
    Ok(())
}

#[dspinlock(key = id, cached_if_computed, detach)]
async fn detached(id: u64) -> Result<u64, Error> {
    Ok(fence())
}

/// Calls a function and its twin in the pool.
macro_rules! each_twin {
    ($pool:expr, $name:ident, $polled:ident, $id:expr, |$outcome:ident| $check:expr) => {{
        let check = |$outcome: Outcome<_>| $check;
        check($pool.scope_blocking(|| served_blocking(|| $name($id))));
        check($pool.scope(served($polled($id))).await);
    }};
}

/// Asserts how a call was served that returns its fence.
#[track_caller]
fn assert_how(outcome: &Outcome<Error>, how: How) -> Served {
    let value = *outcome.0.as_ref().expect("a value");
    let served = outcome.1.expect("a locked call was made");
    assert_eq!((served.how, served.fence), (how, Some(value)));
    served
}

/// An age that was measured.
#[track_caller]
fn assert_recent(age: Option<Duration>) {
    assert!(age.is_some_and(|age| age < Duration::from_secs(20)), "{age:?}");
}

#[tokio::test]
async fn a_computed_value_and_a_hit() {
    for backend in Backend::all() {
        let [pool, peer] = backend.pools("a_computed_value");
        each_twin!(pool, value, value_polled, 1, |outcome| {
            let served = assert_how(&outcome, How::Computed);
            assert_eq!(served.age, Some(Duration::ZERO));
        });
        for pool in [&pool, &peer] {
            each_twin!(pool, value, value_polled, 1, |outcome| {
                let served = assert_how(&outcome, How::Hit);
                assert_eq!(served.age, None, "{backend:?}: a plain read does not say it");
            });
        }
        let outcome = pool.scope(served(detached(1))).await;
        assert_how(&outcome, How::Computed);
        let outcome = pool.scope(served(detached(1))).await;
        assert_how(&outcome, How::Hit);
    }
}

#[tokio::test]
async fn a_near_hit_tells_the_age_and_the_fence_of_its_value() {
    for backend in Backend::all() {
        let [pool, _] = backend.pools("a_near_hit");
        each_twin!(pool, near, near_polled, 1, |outcome| {
            assert_how(&outcome, How::Computed);
        });
        thread::sleep(Duration::from_millis(30));
        each_twin!(pool, near, near_polled, 1, |outcome| {
            let served = assert_how(&outcome, How::Hit);
            if !backend.is_embedded() {
                assert_recent(served.age);
                assert!(served.age >= Some(Duration::from_millis(20)), "{served:?}");
            }
        });
        thread::sleep(Duration::from_millis(50));
        each_twin!(
            pool,
            near,
            near_polled,
            1,
            |outcome| match backend.is_embedded() {
                // It pushes nothing, so there is no near cache.
                true => drop(assert_how(&outcome, How::Hit)),
                false => {
                    let served = assert_how(&outcome, How::Near);
                    assert_recent(served.age);
                    assert!(served.age >= Some(Duration::from_millis(70)), "{served:?}");
                }
            }
        );
    }
}

#[tokio::test]
async fn a_replayed_error() {
    for backend in Backend::all() {
        let pools = backend.pools("a_replayed_error");
        for (pool, how) in [
            (&pools[0], How::Computed),
            (&pools[0], How::ReplayedError),
            (&pools[1], How::ReplayedError),
        ] {
            each_twin!(pool, error, error_polled, 1, |outcome| {
                let (Err(Failed::Body(fence)), Some(served)) = outcome else {
                    panic!("{outcome:?}");
                };
                assert_eq!((served.how, served.fence), (how, Some(fence)), "{backend:?}");
                assert_recent(served.age);
            });
        }
    }
}

/// Two pools of one server share no flight, as those of two processes. `processes` has the test of two processes.
#[tokio::test]
async fn a_follower_of_this_process_or_of_another_one() {
    for backend in Backend::all() {
        let [pool, peer] = backend.pools("a_follower");
        for follower in [&pool, &peer] {
            let id = fastrand::u64(..);
            let outcomes: Vec<_> = thread::scope(|threads| {
                let calls = [(&pool, 0), (follower, 100)].map(|(pool, millis)| {
                    threads.spawn(move || {
                        thread::sleep(Duration::from_millis(millis));
                        pool.scope_blocking(|| served_blocking(|| slow(id)))
                    })
                });
                calls.map(|call| call.join().expect("no panic")).into()
            });
            assert_how(&outcomes[0], How::Computed);
            let told = assert_how(&outcomes[1], How::Followed);
            assert!(
                told.age.is_none_or(|age| age < Duration::from_secs(20)),
                "{told:?}"
            );
            let calls = [(pool.clone(), 0), (follower.clone(), 100)].map(|(pool, millis)| {
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(millis)).await;
                    pool.scope(served(slow_polled(id))).await
                })
            });
            let [leads, follows] = calls;
            assert_how(&leads.await.expect("no panic"), How::Computed);
            let told = assert_how(&follows.await.expect("no panic"), How::Followed);
            if backend.is_embedded() || std::ptr::eq(follower, &pool) {
                assert_eq!(told.age, Some(Duration::ZERO), "the leader passes it on");
            }
        }
    }
}

#[tokio::test]
async fn combinators_are_nested_in_any_order() {
    for backend in Backend::all() {
        let [pool, _] = backend.pools("nested");
        pool.scope(async {
            let mut last = value_polled(1).await.expect("a value");
            last = last.max(value(1).expect("a value"));
            let outcomes = [
                served(fresh(value_polled(1))).await,
                fresh(served(value_polled(1))).await,
                served_blocking(|| fresh_blocking(|| value(1))),
                fresh_blocking(|| served_blocking(|| value(1))),
                served(async { fresh_blocking(|| value(1)) }).await,
            ];
            for outcome in outcomes {
                assert_how(&outcome, How::Computed);
                assert_ne!(outcome.0.expect("a value"), last, "{backend:?}: computed anew");
            }
            let (inner, outer) = served(served(value_polled(1))).await;
            assert_how(&inner, How::Hit);
            assert_eq!(outer, inner.1, "the outer one sees the call, too");
            let ((inner, plain), outer) = served_blocking(|| (served_blocking(|| value(1)), value(2)));
            assert_how(&inner, How::Hit);
            assert_how(&(plain, outer), How::Computed);
        })
        .await;
    }
}

#[tokio::test]
async fn the_last_call_counts_and_no_call_is_none() {
    for backend in Backend::all() {
        let [pool, _] = backend.pools("the_last_call");
        pool.scope(async {
            let (first, served_first) =
                served(async { (value_polled(1).await, value_polled(1).await).1 }).await;
            assert_how(&(first, served_first), How::Hit);
            assert_eq!(served(async { 1 }).await, (1, None));
            assert_eq!(served_blocking(|| 1), (1, None));
            let lock = HashDSpinlock::new(fastrand::u64(..)).pool(&pool);
            let (held, none) = served(lock.acquire()).await;
            assert!(
                held.is_ok() && none.is_none(),
                "an explicit lock is no locked function"
            );
        })
        .await;
        // After a call that ended, without `served`.
        assert_eq!(
            pool.scope_blocking(|| (value(1).is_ok(), served_blocking(|| ()).1)),
            (true, None)
        );
    }
}

#[test]
fn a_call_inside_of_a_body_does_not_count() {
    #[dspinlock(key = id, cached_if_computed)]
    fn outer(id: u64, runs: &Runs) -> Result<u64, Error> {
        runs.add();
        value(id)?;
        panic!("the outer call has no outcome");
    }

    #[dspinlock(key = id, cached_if_computed)]
    async fn outer_polled(id: u64, runs: &Runs) -> Result<u64, Error> {
        value_polled(id).await?;
        runs.add();
        std::future::pending().await
    }

    for backend in Backend::all() {
        let [pool, _] = backend.pools("inside_of_a_body");
        let runs = Runs::default();
        let call = || catch_unwind(AssertUnwindSafe(|| outer(1, &runs))).is_err();
        assert_eq!(
            pool.scope_blocking(|| served_blocking(call)),
            (true, None),
            "{backend:?}"
        );
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let dropped = runtime.block_on(pool.scope(served(async {
            let start = Instant::now();
            let body_waits = async {
                while runs.count() < 2 {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    assert!(start.elapsed() < Duration::from_secs(20), "the body does not run");
                }
            };
            tokio::select! {
                outcome = outer_polled(2, &runs) => panic!("{outcome:?}"),
                () = body_waits => {}
            }
        })));
        assert_eq!((dropped.1, runs.count()), (None, 2), "{backend:?}");
    }
}

#[tokio::test]
async fn a_call_without_the_lock_and_a_call_that_fails() {
    let away = Pool::open("redis://127.0.0.1:1").expect("a pool");
    each_twin!(away, unlocked, unlocked_polled, 1, |outcome| {
        let served = outcome.1.expect("the body has run");
        assert_eq!(
            (served.how, served.age, served.fence),
            (How::Computed, Some(Duration::ZERO), None)
        );
        assert_eq!(outcome.0.expect("a value"), 0);
    });
    each_twin!(away, value, value_polled, 1, |outcome| {
        assert!(outcome.0.is_err() && outcome.1.is_none(), "{outcome:?}");
    });
    let pool = Pool::open("sqlite::memory:").expect("a pool");
    let last = served_blocking(|| (pool.scope_blocking(|| value(1)), away.scope_blocking(|| value(1))));
    assert!(
        last.0.0.is_ok() && last.1.is_none(),
        "the last call has failed: {last:?}"
    );
    let nested = served_blocking(|| {
        let first = pool.scope_blocking(|| value(1));
        (first, served_blocking(|| away.scope_blocking(|| value(1))))
    });
    assert!(nested.0.0.is_ok() && nested.1.is_none(), "{nested:?}");
}

#[test]
fn a_hit_of_a_shared_key_says_neither_age_nor_fence() {
    for backend in Backend::all() {
        let (pool, id) = (backend.pool("a shared key"), fastrand::u64(..));
        let call = || pool.scope_blocking(|| served_blocking(|| shared(id))).1;
        let computed = call().expect("a call");
        assert_eq!((computed.how, computed.fence.is_some()), (How::Computed, true));
        let hit = call().expect("a call");
        assert_eq!(
            (hit.how, hit.age, hit.fence),
            (How::Hit, None, None),
            "{backend:?}"
        );
    }
}
