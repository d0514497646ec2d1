//! The end of a pool: `Pool::close`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dspinlock::{Acquired, Error, HashDSpinlock, Pool, Status, Wait, dspinlock};
use dspinlock_testkit::{Action, Proxy, Redis, Stage, eventually};
use tokio::time::{sleep, timeout};

use crate::keeping::Runs;
use crate::stores::Backend;

const SHORT: Duration = Duration::from_millis(700);

/// Far longer than a test.
const LONG: Duration = Duration::from_secs(60);

/// A call that fails at once returns within this time, also on a loaded machine.
const AT_ONCE: Duration = Duration::from_millis(500);

#[dspinlock(key = id, cached_if_computed, wait = LONG, entry = value_entry)]
async fn value(id: u64, runs: &Runs, time: Duration) -> Result<usize, Error> {
    let run = runs.add();
    sleep(time).await;
    Ok(run)
}

#[dspinlock(key = id, cached_if_computed, wait = LONG, entry = value_sync_entry)]
fn value_sync(id: u64, runs: &Runs, time: Duration) -> Result<usize, Error> {
    let run = runs.add();
    thread::sleep(time);
    Ok(run)
}

#[dspinlock(key = id, cached_if_computed, near_cache = "1m")]
async fn near(id: u64, runs: &Runs) -> Result<usize, Error> {
    Ok(runs.add())
}

#[dspinlock(key = id, cached_if_computed, validate = (id, 7))]
fn validated(id: u64, runs: &Runs) -> Result<usize, Error> {
    Ok(runs.add())
}

#[dspinlock(key = id, cached_if_computed, on_store_error = run_unlocked)]
fn without_the_store(id: u64, runs: &Runs) -> Result<usize, Error> {
    Ok(runs.add())
}

#[dspinlock(key = id, on_busy = skip)]
fn skips(id: u64, runs: &Runs) -> Result<(), Error> {
    runs.add();
    Ok(())
}

#[dspinlock(key = id, on_error = panic)]
fn panics(id: u64, runs: &Runs) {
    runs.add();
}

#[dspinlock(key = id, on_error = run_unlocked)]
fn runs_unlocked(id: u64, runs: &Runs) -> usize {
    runs.add()
}

#[dspinlock(key = id, cached_if_computed, on_lease_lost = cancel)]
async fn cancelled(id: u64, runs: &Runs) -> Result<usize, Error> {
    runs.add();
    sleep(LONG).await;
    Ok(0)
}

fn is_closed<T: std::fmt::Debug>(outcome: Result<T, Error>) {
    assert!(matches!(outcome, Err(Error::Closed)), "{outcome:?}");
}

fn lock(pool: &Pool, key: &str) -> HashDSpinlock {
    HashDSpinlock::new(key).wait(Wait::AtMost(LONG)).pool(pool)
}

fn is_free(pool: &Pool, id: u64) -> bool {
    let entry = value_entry(id, &Runs::default(), SHORT).pool(pool);
    entry.status_blocking().expect("a reply") == Status::Free
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_pool_acquires_nothing_and_serves_what_is_stored() {
    for backend in Backend::all() {
        let [pool, other] = backend.pools("acquires_nothing");
        let (runs, done) = (Runs::default(), Duration::ZERO);
        let first = pool.scope(value(1, &runs, done)).await.expect("a value");
        // From the third read on, the value is in the near cache.
        for _ in 0..3 {
            pool.scope(near(1, &runs)).await.expect("a value");
        }
        pool.scope_blocking(|| validated(1, &runs)).expect("a value");
        let outdated = value_entry(3, &runs, done).pool(&pool);
        outdated.prime(&Ok(9)).await.expect("a reply");
        let start = Instant::now();
        let given_up = pool.clone().close(LONG).await.expect("the end");
        assert!(given_up.is_empty() && start.elapsed() < AT_ONCE, "{backend:?}");
        let computed = runs.count();

        let start = Instant::now();
        is_closed(pool.scope(value(2, &runs, done)).await);
        is_closed(pool.scope(near(2, &runs)).await);
        pool.scope_blocking(|| {
            is_closed(value_sync(2, &runs, done));
            is_closed(validated(2, &runs));
            is_closed(without_the_store(2, &runs));
            is_closed(skips(2, &runs));
        });
        is_closed(lock(&pool, "closed").acquire().await);
        is_closed(lock(&pool, "closed").try_acquire().await);
        is_closed(dspinlock::acquire_all([&lock(&pool, "closed")]).await);
        let entry = || value_entry(1, &runs, done).pool(&pool);
        is_closed(entry().prime(&Ok(5)).await);
        let deleted = value_entry(3, &runs, done).pool(&pool).invalidate().await;
        assert!(deleted.expect("a delete needs no lock"), "{backend:?}");
        assert!(start.elapsed() < AT_ONCE, "{backend:?}: {:?}", start.elapsed());
        let (panicking, also) = (pool.clone(), runs.clone());
        let panicked = thread::spawn(move || panicking.scope_blocking(|| panics(2, &also))).join();
        assert!(panicked.is_err());
        assert_eq!(runs.count(), computed, "{backend:?}: no body runs");
        // The contract of this option: the call never fails because of the lock.
        assert_eq!(pool.scope_blocking(|| runs_unlocked(2, &runs)), computed + 1);

        // Several calls at once, of which one reads for the others while a pool is open.
        let hits = (0..8).map(|_| {
            let (pool, runs) = (pool.clone(), runs.clone());
            tokio::spawn(async move { pool.scope(value(1, &runs, done)).await })
        });
        for hit in hits.collect::<Vec<_>>() {
            assert_eq!(hit.await.expect("a task").expect("a hit"), first, "{backend:?}");
        }
        pool.scope(near(1, &runs)).await.expect("a near hit");
        pool.scope_blocking(|| validated(1, &runs)).expect("a hit");
        assert!(entry().peek().await.expect("a reply").is_some());
        assert_eq!(
            lock(&pool, "closed").status().await.expect("a reply"),
            Status::Free
        );

        if !backend.is_embedded() {
            other.scope(value(2, &runs, done)).await.expect("another pool");
        }
    }
    let away = Pool::open("redis://127.0.0.1:1").expect("a pool");
    away.close(LONG).await.expect("the end");
    let runs = Runs::default();
    is_closed(away.scope_blocking(|| without_the_store(2, &runs)));
    assert_eq!(runs.count(), 0);
}

#[test]
fn waiting_calls_fail_at_once_and_bodies_go_on() {
    for backend in Backend::all() {
        let [pool, other] = backend.pools("bodies_go_on");
        let runs = Runs::default();
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let spawn = |pool: &Pool, id| {
            let (pool, runs) = (pool.clone(), runs.clone());
            runtime.spawn(async move { pool.scope(value(id, &runs, SHORT)).await })
        };
        let spawn_sync = |pool: &Pool| {
            let (pool, runs) = (pool.clone(), runs.clone());
            thread::spawn(move || pool.scope_blocking(|| value_sync(2, &runs, SHORT)))
        };
        let held = match lock(&pool, "waits").acquire_blocking() {
            Ok(Acquired::Locked(lease)) => lease,
            other => panic!("{other:?}"),
        };
        let begun = Instant::now();
        let (leader, leader_sync) = (spawn(&pool, 1), spawn_sync(&pool));
        eventually("two bodies", || (runs.count() == 2).then_some(()));
        let explicit = runtime.spawn(lock(&pool, "waits").acquire());
        let waiting = [spawn(&pool, 1), spawn(&pool, 1)];
        let waiting_sync = spawn_sync(&pool);
        thread::sleep(SHORT / 3);
        let closing = thread::spawn({
            let pool = pool.clone();
            move || pool.close_blocking(LONG)
        });
        let start = Instant::now();
        for call in waiting {
            is_closed(runtime.block_on(call).expect("a task"));
        }
        is_closed(waiting_sync.join().expect("a thread"));
        is_closed(runtime.block_on(explicit).expect("a task"));
        assert!(start.elapsed() < AT_ONCE, "{backend:?}: {:?}", start.elapsed());
        assert!(
            begun.elapsed() < SHORT,
            "the bodies still run: {:?}",
            begun.elapsed()
        );
        let values = [
            runtime.block_on(leader).expect("a task"),
            leader_sync.join().expect("a thread"),
        ];
        assert!(values.iter().all(Result::is_ok), "{backend:?}: {values:?}");
        assert!(!closing.is_finished(), "a lease is held");
        held.release_blocking()
            .expect("a lease is released on a closed pool");
        let released = Instant::now();
        let given_up = closing.join().expect("a thread").expect("the end");
        assert!(given_up.is_empty(), "{given_up:?}");
        assert!(
            released.elapsed() < AT_ONCE,
            "{backend:?}: {:?}",
            released.elapsed()
        );
        // Both results are stored.
        let hits = [
            runtime.block_on(other.scope(value(1, &runs, SHORT))),
            other.scope_blocking(|| value_sync(2, &runs, SHORT)),
        ];
        assert!(hits.iter().all(Result::is_ok), "{backend:?}: {hits:?}");
        assert_eq!(runs.count(), 2, "{backend:?}");
    }
}

#[test]
fn a_waiting_call_of_another_process_fails_at_once() {
    for backend in Backend::all()
        .into_iter()
        .filter(|backend| !backend.is_embedded())
    {
        let [holder, pool] = backend.pools("of_another_process");
        let held = lock(&holder, "process").acquire_blocking().expect("the lock");
        let waiting = thread::spawn({
            let lock = lock(&pool, "process");
            move || lock.acquire_blocking()
        });
        thread::sleep(SHORT / 2);
        let start = Instant::now();
        assert!(pool.close_blocking(LONG).expect("the end").is_empty());
        is_closed(waiting.join().expect("a thread"));
        assert!(start.elapsed() < AT_ONCE, "{backend:?}: {:?}", start.elapsed());
        drop(held);
        let next = lock(&holder, "process").acquire_blocking();
        assert!(matches!(next, Ok(Acquired::Locked(_))), "{backend:?}: {next:?}");
    }
}

#[test]
fn what_is_left_after_the_grace_is_given_up() {
    const GRACE: Duration = Duration::from_millis(300);
    for backend in Backend::all() {
        let [pool, other] = backend.pools("is_given_up");
        let runs = Runs::default();
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let body = |id, time| {
            let (pool, runs) = (pool.clone(), runs.clone());
            async move { pool.scope(value(id, &runs, time)).await }
        };
        let late = runtime.spawn(body(1, SHORT * 2));
        let cancelled = runtime.spawn({
            let (pool, runs) = (pool.clone(), runs.clone());
            async move { pool.scope(cancelled(3, &runs)).await }
        });
        let held = match lock(&pool, "left").acquire_blocking() {
            Ok(Acquired::Locked(lease)) => Arc::new(lease),
            other => panic!("{other:?}"),
        };
        let elsewhere = Pool::open("sqlite::memory:").expect("a pool");
        let kept = match lock(&elsewhere, "left").acquire_blocking() {
            Ok(Acquired::Locked(lease)) => lease,
            other => panic!("{other:?}"),
        };
        eventually("two bodies", || (runs.count() == 2).then_some(()));
        let lost = runtime.spawn({
            let held = held.clone();
            async move { held.lost().await }
        });
        let start = Instant::now();
        let given_up = pool.close_blocking(GRACE).expect("the end");
        let took = start.elapsed();
        assert!(took >= GRACE && took < GRACE + AT_ONCE, "{backend:?}: {took:?}");
        let mut sites: Vec<_> = given_up.iter().map(|key| key.site().to_owned()).collect();
        sites.sort();
        let sites: Vec<_> = sites
            .iter()
            .map(|site| site.rsplit("::").next().unwrap_or(site))
            .collect();
        assert_eq!(sites, ["explicit lock", "cancelled", "value"], "{backend:?}");
        assert!(held.is_lost() && held.remaining().is_zero());
        runtime.block_on(lost).expect("a task");
        is_closed(runtime.block_on(cancelled).expect("a task"));
        // The keys are free when `close` returns.
        assert!(is_free(&pool, 1), "{backend:?}");
        assert_eq!(
            lock(&pool, "left").status_blocking().expect("a reply"),
            Status::Free
        );
        if !backend.is_embedded() {
            let next = lock(&other, "left")
                .wait(Wait::AtMost(Duration::ZERO))
                .acquire_blocking();
            assert!(matches!(next, Ok(Acquired::Locked(_))), "{backend:?}: {next:?}");
        }
        // The caller of the late body gets its value, which is not stored.
        runtime.block_on(late).expect("a task").expect("a value");
        assert!(is_free(&pool, 1), "{backend:?}");
        let held = Arc::into_inner(held).expect("no other task has the lease");
        let released = held.release_blocking();
        assert!(matches!(released, Err(Error::LeaseLost { .. })), "{released:?}");
        assert!(!kept.is_lost(), "another pool keeps its leases");
        kept.release_blocking().expect("another pool is open");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_callers_of_close_wait_for_the_same_end() {
    for backend in Backend::all() {
        let [pool, _] = backend.pools("for_the_same_end");
        let held = lock(&pool, "same").acquire().await.expect("the lock");
        let start = Instant::now();
        // The first caller is dropped: the pool stays closed, and nothing is given up.
        assert!(timeout(SHORT / 7, pool.close(SHORT / 2)).await.is_err());
        is_closed(lock(&pool, "another key").acquire().await);
        let Acquired::Locked(lease) = &held else {
            panic!("{held:?}")
        };
        let clone = pool.clone();
        let (one, other) = tokio::join!(pool.close(SHORT), clone.close(LONG));
        let (one, other) = (one.expect("the end"), other.expect("the end"));
        assert!(
            start.elapsed() >= SHORT && start.elapsed() < LONG,
            "{:?}",
            start.elapsed()
        );
        assert!(lease.is_lost());
        assert_eq!((one.len(), &one), (1, &other), "{backend:?}");
        assert_eq!(pool.close(LONG).await.expect("the end"), one);
    }
}

/// Runs until its lease is lost. Counts the bodies that begin after the end of the pool with a lease that they may use. (The
/// system may stop a thread between the grant and the body. Then the body begins late, and its lease is lost.)
#[dspinlock(key = id, lease = LONG, wait = "0s")]
async fn until_lost(id: u64, begun: &Runs, late: &Runs, is_over: &AtomicBool) -> Result<(), Error> {
    begun.add();
    let lease = dspinlock::current().expect("a lease");
    if is_over.load(Ordering::SeqCst) && !lease.is_lost() {
        late.add();
    }
    lease.lost().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_body_begins_with_a_lease_after_the_end() {
    let (begun, late) = (Runs::default(), Runs::default());
    for backend in Backend::all() {
        for _ in 0..100 {
            let [pool, _] = backend.pools("begins_after_the_end");
            lock(&pool, "over").status().await.expect("the pool is connected");
            let is_over = Arc::new(AtomicBool::new(false));
            let calls = (0..16).map(|id| {
                let (pool, is_over) = (pool.clone(), is_over.clone());
                let (begun, late) = (begun.clone(), late.clone());
                tokio::spawn(async move { pool.scope(until_lost(id, &begun, &late, &is_over)).await })
            });
            let calls: Vec<_> = calls.collect();
            let (start, pause) = (Instant::now(), Duration::from_micros(fastrand::u64(0..5000)));
            while start.elapsed() < pause {
                tokio::task::yield_now().await;
            }
            pool.close(Duration::ZERO).await.expect("the end");
            is_over.store(true, Ordering::SeqCst);
            for call in calls {
                // A body with a lease that is not lost would run for a third of its lease.
                let outcome = timeout(LONG / 6, call).await.expect("each body is stopped");
                let outcome = outcome.expect("a task");
                assert!(
                    matches!(outcome, Ok(()) | Err(Error::Closed)),
                    "{backend:?}: {outcome:?}"
                );
            }
        }
    }
    println!("{} bodies have begun", begun.count());
    assert!(begun.count() > 0);
    assert_eq!(late.count(), 0, "of {}", begun.count());
}

#[test]
fn the_end_does_not_wait_for_a_server_that_is_mute() {
    let server = Redis::start();
    let proxy = Proxy::start(server.port());
    let pool = Pool::open(&proxy.url()).expect("a pool");
    let held = lock(&pool, "mute").acquire_blocking().expect("the lock");
    proxy.intercept("ABORT", Stage::Request, Action::Hold);
    let start = Instant::now();
    let given_up = pool.close_blocking(SHORT).expect("the end");
    let took = start.elapsed();
    assert_eq!(given_up.len(), 1);
    let limit = SHORT + Duration::from_secs(1);
    assert!(took >= limit && took < limit + AT_ONCE, "{took:?}");
    drop(held);
}
