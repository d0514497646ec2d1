//! What a locked function does, apart from crashes and stampedes.

use std::panic::catch_unwind;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dspinlock::{Error, Pool, dspinlock};
use dspinlock_testkit::{History, Job, Journal, Redis, Worker, begin, finish};

use crate::common::store::Store;

/// The pool of this process's annotated functions: the embedded store in memory.
pub(crate) fn in_memory() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        dspinlock::init(Pool::open("sqlite::memory:").expect("a store in memory"))
            .expect("nothing was locked before");
    });
}

#[test]
fn without_a_cache_each_body_runs_one_at_a_time_under_growing_fences() {
    for store in Store::each() {
        for function in ["each", "each_sync", "shared_each"] {
            let folder = tempfile::tempdir().expect("a folder");
            let journal = Journal::within(folder.path());
            let workers = Worker::several(4, &store.url());
            let job = Job::new(function, function)
                .with("body", "sleep:2")
                .with("sleep", 5)
                .with("journal", journal.path().display());
            let (bodies, values, errors) = finish(&begin(&workers, 5, &job));
            assert_eq!(
                (bodies, values.len(), errors),
                (20, 20, vec![]),
                "{function} on {}",
                store.url()
            );
            let history = History::of(&journal);
            history.check();
            history.check_exclusion();
        }
        if let Store::Redis(server) = &store {
            let names = server.keys().into_iter().filter(|key| !key.starts_with('{'));
            let states: Vec<_> = names.filter_map(|name| server.get(&name)).collect();
            assert_eq!(states.len(), 3);
            assert!(
                states.iter().all(|state| state.ends_with(",1")),
                "COMPUTED is left"
            );
        }
    }
}

#[test]
fn a_value_is_computed_anew_when_its_time_is_over() {
    for store in Store::each() {
        let worker = Worker::start(&store.url());
        let job = Job::new("cached", "key").with("ttl", 400);
        let first = worker.call(&job).story();
        assert_eq!((first.0, worker.call(&job).story()), (1, (0, first.1)));
        std::thread::sleep(Duration::from_millis(450));
        assert_eq!(worker.call(&job).story().0, 1, "on {}", store.url());
    }
}

#[test]
fn a_failure_is_never_kept() {
    for store in Store::each() {
        let worker = Worker::start(&store.url());
        for function in ["cached", "cached_sync", "each"] {
            let job = Job::new(function, function);
            for (body, error) in [("err", "Body"), ("panic", "panic")] {
                let failed = worker.call(&job.clone().with("body", body)).story();
                assert_eq!(
                    failed,
                    (1, Err(error.to_owned())),
                    "{function} on {}",
                    store.url()
                );
            }
            assert!(worker.call(&job).end().is_ok());
        }
    }
}

#[test]
fn a_body_that_asks_for_its_own_key_gets_an_error_at_once() {
    for store in Store::each() {
        let worker = Worker::start(&store.url());
        let start = Instant::now();
        let job = Job::new("cached", "key");
        let call = worker.call(&job.clone().with("body", "again"));
        assert_eq!(call.story(), (1, Err("Recursion".to_owned())));
        assert!(start.elapsed() < Duration::from_secs(5));
        assert!(worker.call(&job).end().is_ok(), "and the key is free again");
    }
}

#[test]
fn a_waiter_gives_up_after_its_tries() {
    for store in Store::each() {
        let (holder, waiter) = (Worker::start(&store.url()), Worker::start(&store.url()));
        let job = Job::new("cached", "key");
        let held = holder.call(&job.clone().with("body", "gate"));
        held.began();
        let start = Instant::now();
        let patient = job.clone().with("tries", 3).with("sleep", 200);
        let gave_up = waiter.call(&patient).story();
        let took = start.elapsed();
        assert_eq!(gave_up, (0, Err("SpinlockTriesExceeded".to_owned())));
        assert!(
            took >= Duration::from_millis(400) && took < Duration::from_millis(1500),
            "{took:?}"
        );
        held.go();
        let value = held.end();
        assert_eq!(
            waiter.call(&patient).story(),
            (0, value),
            "the holder was not disturbed"
        );
    }
}

#[test]
fn a_hung_body_frees_its_key_after_max_block_time() {
    for store in Store::each() {
        let (holder, waiter) = (Worker::start(&store.url()), Worker::start(&store.url()));
        let job = Job::new("cached", "key").with("block", 1500).with("lease", 900);
        let held = holder.call(&job.clone().with("body", "lost+gate").with("value", "old"));
        let first = held.began();
        let start = Instant::now();
        let next = waiter.call(&job.clone().with("value", "new"));
        let second = next.began();
        let took = start.elapsed();
        assert!(
            took > Duration::from_millis(1300) && took < Duration::from_millis(4000),
            "{took:?}"
        );
        assert!(second > first);
        assert_eq!(held.event().as_deref(), Some("lost"), "the body is told");
        assert_eq!(next.end().as_deref(), Ok("new"));
        held.go();
        assert_eq!(held.end().as_deref(), Ok("old"));
        assert_eq!(holder.call(&job).end().as_deref(), Ok("new"));
    }
}

#[test]
fn a_foreign_lock_is_taken_over_when_it_is_older_than_max_block_time() {
    let server = Redis::start();
    let worker = Worker::start(&server.url());
    let job = Job::new("shared", "example")
        .with("block", 10_000)
        .with("lease", 1000);
    worker.call(&job).end().unwrap();
    let name = server.keys().into_iter().find(|k| !k.starts_with('{')).unwrap();
    for (stamp, taken) in [
        ("2020-01-02T03:04:05+00:00", true),
        ("2999-01-02T03:04:05+00:00", false),
    ] {
        server.raw(&["SET", &name, &format!("0d9ef2f7,{stamp},0")]);
        let start = Instant::now();
        // Five seconds of the same bytes, then it is taken; of a stamp from the future only our own clock counts.
        let call = worker.call(&job.clone().with("sleep", 1000).with("tries", 8));
        assert_eq!(call.story().1.is_ok(), taken, "{stamp}");
        assert!(start.elapsed() > Duration::from_secs(5), "{stamp}");
    }
}

static RUNS: AtomicUsize = AtomicUsize::new(0);

fn ran() -> usize {
    RUNS.fetch_add(1, Ordering::Relaxed)
}

#[tokio::test]
async fn a_body_sees_its_lease_and_nobody_else_does() {
    #[dspinlock(key = "lease")]
    async fn body() -> Result<u64, Error> {
        tokio::task::yield_now().await;
        let lease = dspinlock::current().expect("a body has a lease");
        assert!(!lease.is_lost());
        Ok(lease.fence())
    }
    in_memory();
    assert!(dspinlock::current().is_none());
    let (first, second) = (body().await.unwrap(), body().await.unwrap());
    assert!(first > 0 && second > first);
    assert!(dspinlock::current().is_none());
}

#[test]
fn a_panic_goes_on_unwinding_and_leaves_the_key_free() {
    #[dspinlock(key = 1, cached_if_computed)]
    fn body(panic: bool) -> Result<usize, Error> {
        if panic {
            panic!("of the body's own");
        }
        Ok(1)
    }
    in_memory();
    let panic = catch_unwind(|| body(true)).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"of the body's own"));
    assert_eq!(body(false).unwrap(), 1);
}

#[tokio::test]
async fn wait_bounds_the_waiting() {
    #[dspinlock(key = "wait", wait = "300ms")]
    async fn briefly(gate: &tokio::sync::Notify) -> Result<(), Error> {
        gate.notified().await;
        Ok(())
    }
    #[dspinlock(key = "forever", wait = forever, spinlock_sleep_thresh = "20ms")]
    async fn long(time: Duration) -> Result<(), Error> {
        tokio::time::sleep(time).await;
        Ok(())
    }
    in_memory();
    let gate = tokio::sync::Notify::new();
    let start = Instant::now();
    let (first, second) = tokio::join!(briefly(&gate), async {
        let second = briefly(&gate).await;
        gate.notify_one();
        second
    });
    assert!(first.is_ok());
    assert!(matches!(second, Err(Error::SpinlockTriesExceeded { .. })));
    assert!(start.elapsed() >= Duration::from_millis(300));
    let time = Duration::from_millis(400);
    let (first, second) = tokio::join!(long(time), long(time));
    assert!(first.is_ok() && second.is_ok());
}

#[test]
fn values_of_every_shape_come_back() {
    #[dspinlock(cached_if_computed)]
    fn nothing() -> Result<(), Error> {
        ran();
        Ok(())
    }
    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Zst;
    #[dspinlock(cached_if_computed)]
    fn zero_sized() -> Result<Zst, Error> {
        ran();
        Ok(Zst)
    }
    #[dspinlock(cached_if_computed)]
    fn perhaps(id: u8) -> Result<Option<String>, Error> {
        ran();
        Ok((id > 0).then(|| "x".repeat(id.into())))
    }
    #[dspinlock(cached_if_computed, on_error = panic)]
    fn plain(id: u8) -> Vec<(u8, f64)> {
        ran();
        vec![(id, f64::NEG_INFINITY)]
    }
    in_memory();
    for _ in 0..2 {
        nothing().unwrap();
        assert_eq!(zero_sized().unwrap(), Zst);
        assert_eq!(perhaps(0).unwrap(), None);
        assert_eq!(perhaps(3).unwrap().as_deref(), Some("xxx"));
        assert_eq!(plain(7), [(7, f64::NEG_INFINITY)]);
    }
    assert_eq!(RUNS.load(Ordering::Relaxed), 5, "each body ran once");
}

#[test]
fn run_unlocked_goes_on_without_the_lock_where_the_lock_fails() {
    #[dspinlock(key = (), wait = "50ms", on_error = run_unlocked)]
    fn nested(depth: u8) -> u8 {
        // The second call finds its own key held; it runs all the same.
        if depth == 0 { 0 } else { 1 + nested(depth - 1) }
    }
    in_memory();
    assert_eq!(nested(2), 2);
}

#[dspinlock(key = "failing", fail_if_key_exists, lease = "5s")]
async fn failing() -> Result<(), Error> {
    Err(Error::Configuration("the body".into()))
}

#[dspinlock(key = "failing_sync", fail_if_key_exists, lease = "5s")]
fn failing_sync() -> Result<(), Error> {
    Err(Error::Configuration("the body".into()))
}

/// Also where the process ends right behind the call: the key is free when the error is there.
#[test]
fn who_was_told_of_a_failure_may_try_again_at_once() {
    in_memory();
    for _ in 0..200 {
        for outcome in [futures_executor::block_on(failing()), failing_sync()] {
            assert!(matches!(outcome, Err(Error::Configuration(_))), "{outcome:?}");
        }
    }
}
