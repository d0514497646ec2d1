//! Bodies that outlive their caller (`detach`), and bodies that are stopped (`on_lease_lost = cancel`).

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dspinlock::{Error, Pool, Status, dspinlock};
use dspinlock_testkit::eventually;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::keeping::Runs;
use crate::stores::Backend;

/// What a body waits for.
#[derive(Clone, Default)]
struct Gate {
    started: Arc<Notify>,
    open: Arc<Notify>,
}

#[dspinlock(key = id, cached_if_computed, detach, entry = detached_entry)]
async fn detached(id: u64, runs: Runs, gate: Gate) -> Result<usize, Error> {
    gate.started.notify_one();
    gate.open.notified().await;
    assert!(dspinlock::current().is_some(), "the lease travels with the body");
    Ok(runs.add())
}

#[dspinlock(key = id, detach)]
async fn panics(id: u64) -> Result<(), Error> {
    let _ = id;
    panic!("the body panics")
}

#[dspinlock(key = id, detach, max_block_time = "500ms", lease = "200ms", entry = endless_entry)]
async fn endless(id: u64, stopped: Stopped) -> Result<(), Error> {
    let _ = (id, &stopped);
    std::future::pending().await
}

/// Notes its drop.
#[derive(Clone, Default)]
struct Stopped(Arc<AtomicBool>);

impl Drop for Stopped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

struct Service {
    pool: Pool,
}

impl Service {
    #[dspinlock(key = id, cached_if_computed, detach, pool = &self.pool)]
    async fn value(self: Arc<Self>, id: u64) -> Result<u64, Error> {
        Ok(id)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_outlives_its_caller_and_serves_the_others() {
    for backend in Backend::all() {
        let [pool, other] = backend.pools("outlives_its_caller");
        let (runs, gate) = (Runs::default(), Gate::default());
        let call = |pool: &Pool| {
            let call = pool.scope(detached(1, runs.clone(), gate.clone()));
            async move { call.await.expect("a value") }
        };
        let first = tokio::spawn({
            let (pool, runs, gate) = (pool.clone(), runs.clone(), gate.clone());
            async move { pool.scope(detached(1, runs, gate)).await }
        });
        gate.started.notified().await;
        let waiting: Vec<_> = (0..64)
            .map(|at| tokio::spawn(call([&pool, &other][at % 2])))
            .collect();
        first.abort();
        assert!(first.await.is_err_and(|error| error.is_cancelled()));
        sleep(Duration::from_millis(200)).await;
        let status = detached_entry(1, runs.clone(), gate.clone())
            .pool(&pool)
            .status()
            .await;
        assert!(
            matches!(status, Ok(Status::Held { .. })),
            "{backend:?}: {status:?}"
        );
        gate.open.notify_one();
        for call in waiting {
            assert_eq!(call.await.expect("no panic"), 1, "{backend:?}");
        }
        assert_eq!(runs.count(), 1, "{backend:?}");
        let service = Arc::new(Service { pool });
        assert_eq!(service.value(3).await.expect("a value"), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_reaches_the_caller_and_a_body_ends_with_max_block_time() {
    for backend in Backend::all() {
        let [pool, _] = backend.pools("a_panic_reaches");
        let panicked = tokio::spawn({
            let pool = pool.clone();
            async move { pool.scope(panics(1)).await }
        });
        assert!(panicked.await.is_err_and(|error| error.is_panic()), "{backend:?}");
        let stopped = Stopped::default();
        let watch = stopped.0.clone();
        let ended = pool.scope(endless(1, stopped)).await;
        assert!(matches!(ended, Err(Error::LeaseLost { .. })), "{ended:?}");
        assert!(watch.load(Ordering::SeqCst), "the body was dropped");
        eventually("a free key", || {
            let status = endless_entry(1, Stopped::default()).pool(&pool).status_blocking();
            (status.expect("a reply") == Status::Free).then_some(())
        });
    }
}

/// Takes the lock of the function that has called it, after the gate opens.
#[dspinlock(key = id, detach)]
async fn calls_back(id: u64, gate: Gate, outcome: Arc<Notify>) -> Result<(), Error> {
    gate.started.notify_one();
    gate.open.notified().await;
    match only_locked(id).await {
        Ok(()) => outcome.notify_one(),
        Err(error) => assert!(matches!(error, Error::Recursion { .. }), "{error:?}"),
    }
    Ok(())
}

/// Boxed, because the two functions call each other.
fn only_locked(id: u64) -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send>> {
    Box::pin(nested(id, Arc::default(), None))
}

/// What [`nested`] drops after the detached body has begun.
#[derive(PartialEq)]
enum Drops {
    Nothing,
    Call,
}

/// Calls a detached function in its body, and drops that call after `gate` has started.
#[dspinlock(key = id, wait = "10s")]
async fn nested(id: u64, outcome: Arc<Notify>, gate: Option<(Gate, Drops)>) -> Result<(), Error> {
    let Some((gate, drops)) = gate else { return Ok(()) };
    let started = gate.started.clone();
    let call = calls_back(id, gate.clone(), outcome.clone());
    if drops == Drops::Nothing {
        return call.await;
    }
    tokio::select! {
        outcome = call => panic!("{outcome:?}"),
        () = started.notified() => {}
    }
    // This body still holds its key, but waits for nothing of the detached one.
    gate.open.notify_one();
    sleep(Duration::from_millis(200)).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_detached_body_holds_no_key_of_a_caller_that_has_gone() {
    for backend in Backend::all() {
        let pool = backend.pool("a_caller_that_has_gone");
        let outcome = Arc::new(Notify::new());
        // The caller goes on without its call.
        let gate = (Gate::default(), Drops::Call);
        pool.scope(nested(1, outcome.clone(), Some(gate)))
            .await
            .expect("a run");
        let acquired = tokio::time::timeout(Duration::from_secs(10), outcome.notified());
        acquired
            .await
            .unwrap_or_else(|_| panic!("{backend:?}: the key is free"));
        // The caller waits: its key would be acquired within its own body.
        let gate = Gate::default();
        gate.open.notify_one();
        pool.scope(nested(2, outcome.clone(), Some((gate, Drops::Nothing))))
            .await
            .expect("a run");
        let acquired = tokio::time::timeout(Duration::from_millis(50), outcome.notified());
        assert!(acquired.await.is_err(), "{backend:?}");
        // The caller is dropped in its body.
        let gate = Gate::default();
        let (pool, dropped) = (pool.clone(), outcome.clone());
        let caller = tokio::spawn({
            let gate = gate.clone();
            async move { pool.scope(nested(3, dropped, Some((gate, Drops::Nothing)))).await }
        });
        gate.started.notified().await;
        caller.abort();
        assert!(caller.await.is_err());
        gate.open.notify_one();
        let acquired = tokio::time::timeout(Duration::from_secs(10), outcome.notified());
        acquired
            .await
            .unwrap_or_else(|_| panic!("{backend:?}: the key of a dropped body is free"));
    }
}

#[test]
fn without_a_runtime_detach_is_an_error_of_configuration() {
    let pool = Backend::Embedded.pool("");
    let call = pool.scope(detached(1, Runs::default(), Gate::default()));
    let error = futures_executor::block_on(call).expect_err("no runtime");
    assert!(matches!(error, Error::InvalidOption { .. }), "{error:?}");
}

#[dspinlock(key = id, cached_if_computed, on_lease_lost = cancel, lease = "600ms", entry = cancelled_entry)]
async fn cancelled(id: u64, first: Option<Stopped>) -> Result<u64, Error> {
    match &first {
        Some(_) => std::future::pending().await,
        None => {
            sleep(Duration::from_millis(500)).await;
            Ok(7)
        }
    }
}

#[dspinlock(key = id, on_lease_lost = cancel, lease = "600ms", entry = cancelled_job_entry)]
async fn cancelled_job(id: u64, stopped: Stopped) -> Result<(), Error> {
    let _ = (id, &stopped);
    std::future::pending().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_lost_its_lease_stops_and_its_caller_gets_the_new_value() {
    for backend in Backend::all() {
        let [pool, other] = backend.pools("lost_its_lease");
        let stopped = Stopped::default();
        let watch = stopped.0.clone();
        let first = tokio::spawn({
            let pool = pool.clone();
            async move { pool.scope(cancelled(1, Some(stopped))).await }
        });
        let entry = cancelled_entry(1, None).pool(&other);
        eventually("the first holder", || {
            let status = entry.status_blocking().expect("a reply");
            matches!(status, Status::Held { .. }).then_some(())
        });
        assert!(entry.invalidate().await.expect("a reply"));
        assert_eq!(other.scope(cancelled(1, None)).await.expect("a value"), 7);
        let outcome = first.await.expect("no panic");
        assert!(watch.load(Ordering::SeqCst), "{backend:?}: the body was stopped");
        assert_eq!(outcome.expect("the value of the new holder"), 7, "{backend:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_becomes_free_without_a_value_is_a_lost_lease() {
    for backend in Backend::all() {
        let [pool, other] = backend.pools("becomes_free");
        for is_cached in [true, false] {
            let call = tokio::spawn({
                let pool = pool.clone();
                async move {
                    match is_cached {
                        true => pool.scope(cancelled(2, Some(Stopped::default()))).await.map(drop),
                        false => pool.scope(cancelled_job(2, Stopped::default())).await,
                    }
                }
            });
            let delete = || match is_cached {
                true => cancelled_entry(2, None).pool(&other).invalidate_blocking(),
                false => cancelled_job_entry(2, Stopped::default())
                    .pool(&other)
                    .invalidate_blocking(),
            };
            eventually("the holder", || delete().expect("a reply").then_some(()));
            let outcome = call.await.expect("no panic");
            assert!(
                matches!(outcome, Err(Error::LeaseLost { .. })),
                "{backend:?}: {outcome:?}"
            );
        }
    }
}

#[dspinlock(key = id, detach, on_error = run_unlocked, max_block_time = "200ms", lease = "100ms")]
async fn unlocked(id: u64, time: Duration) -> u64 {
    sleep(time).await;
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_detached_body_without_the_lock_has_no_limit() {
    let away = Pool::open("redis://127.0.0.1:1").expect("a pool");
    assert_eq!(away.scope(unlocked(3, Duration::from_millis(600))).await, 3);
    let pool = Backend::Embedded.pool("");
    let stopped = tokio::spawn(async move { pool.scope(unlocked(3, Duration::from_secs(60))).await });
    let panic = stopped.await.expect_err("no value and no error").into_panic();
    let message = panic.downcast_ref::<String>().expect("a text");
    assert!(message.starts_with("lost the lease on "), "{message}");
}
