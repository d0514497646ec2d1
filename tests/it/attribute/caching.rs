//! Which results are kept, and for how long.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use dspinlock::{Error, dspinlock};
use dspinlock_testkit::{History, Job, Journal, Worker, join_calls, start_calls};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::common::store::{Store, init_in_memory};

#[test]
fn without_a_cache_bodies_run_one_at_a_time_with_growing_fences() {
    for store in Store::each() {
        for function in ["uncached", "uncached_sync", "shared_uncached"] {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let journal = Journal::in_folder(folder.path());
            let workers = Worker::start_many(4, &store.url());
            let job = Job::new(function, function)
                .with("body", "sleep:2")
                .with("sleep", 5)
                .with("journal", journal.path().display());
            let (bodies, values, errors) = join_calls(&start_calls(&workers, 5, &job));
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
            // Only a shared key stays COMPUTED, as in Python.
            let state = server.get(&server.only_name());
            assert!(state.is_some_and(|state| state.ends_with(",1")));
        }
    }
}

#[test]
fn a_value_is_recomputed_after_its_ttl() {
    for store in Store::each() {
        let worker = Worker::start(&store.url());
        let job = Job::new("cached", "key").with("ttl", 400);
        let first = worker.call(&job).outcome();
        assert_eq!((first.0, worker.call(&job).outcome()), (1, (0, first.1)));
        std::thread::sleep(Duration::from_millis(450));
        assert_eq!(worker.call(&job).outcome().0, 1, "on {}", store.url());
    }
}

#[test]
fn an_error_is_never_kept() {
    for store in Store::each() {
        let worker = Worker::start(&store.url());
        for function in ["cached", "cached_sync", "shared", "uncached"] {
            let job = Job::new(function, function);
            for (body, error) in [("err", "Body"), ("panic", "panic")] {
                let failed = worker.call(&job.clone().with("body", body)).outcome();
                assert_eq!(
                    failed,
                    (1, Err(error.to_owned())),
                    "{function} on {}",
                    store.url()
                );
            }
            let (bodies, value) = worker.call(&job).outcome();
            assert!(bodies == 1 && value.is_ok(), "{function}: {value:?}");
        }
    }
}

static RUNS: AtomicUsize = AtomicUsize::new(0);

fn ran() -> usize {
    RUNS.fetch_add(1, Ordering::Relaxed)
}

#[test]
fn values_of_every_shape_are_restored() {
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
    init_in_memory();
    for _ in 0..2 {
        nothing().unwrap();
        assert_eq!(zero_sized().unwrap(), Zst);
        assert_eq!(perhaps(0).unwrap(), None);
        assert_eq!(perhaps(3).unwrap().as_deref(), Some("xxx"));
        assert_eq!(plain(7), [(7, f64::NEG_INFINITY)]);
    }
    assert_eq!(RUNS.load(Ordering::Relaxed), 5, "a body ran more than once");
}

#[dspinlock(key = "failing", fail_if_key_exists, lease = "5s")]
async fn failing() -> Result<(), Error> {
    Err(Error::AlreadyInitialized)
}

#[dspinlock(key = "failing_sync", fail_if_key_exists, lease = "5s")]
fn failing_sync() -> Result<(), Error> {
    Err(Error::AlreadyInitialized)
}

/// The key is free when the error is returned, so that the process may exit at once.
#[test]
fn a_failed_call_has_freed_its_key_when_it_returns() {
    init_in_memory();
    for _ in 0..200 {
        for outcome in [futures_executor::block_on(failing()), failing_sync()] {
            assert!(matches!(outcome, Err(Error::AlreadyInitialized)), "{outcome:?}");
        }
    }
}

#[test]
fn a_value_that_is_too_large_is_returned_and_not_stored() {
    for store in Store::each() {
        let worker = Worker::start(&store.url());
        let job = Job::new("cached", "key");
        let large = worker.call(&job.clone().with("size", 9 << 20)).outcome();
        assert_eq!(large, (1, Ok("9437184 bytes".to_owned())), "on {}", store.url());
        let fits = worker.call(&job.clone().with("size", 6 << 20)).outcome();
        assert_eq!(fits, (1, Ok("6291456 bytes".to_owned())));
        assert_eq!(worker.call(&job).outcome(), (0, Ok("6291456 bytes".to_owned())));
    }
}

/// A value that needs far more memory than its encoding: a `None` is one byte.
#[dspinlock(cached_if_computed, skip(T))]
fn sparse<T: Serialize + DeserializeOwned>(id: u64, len: usize) -> Result<Vec<Option<T>>, Error> {
    // The body for the large type has no items, so that its result differs from the stored value.
    let len = if size_of::<T>() == 0 { len } else { 0 };
    Ok((0..len).map(|_| None).collect())
}

#[test]
fn a_value_that_decodes_beyond_its_budget_is_computed_again() {
    type Large = [[u64; 8]; 8];
    init_in_memory();
    assert_eq!(sparse::<()>(1, 1000).unwrap().len(), 1000);
    assert_eq!(sparse::<Large>(1, 1000).unwrap().len(), 1000);
    // The items would take 2 GiB.
    assert_eq!(sparse::<()>(1, 4 << 20).unwrap().len(), 4 << 20);
    assert_eq!(sparse::<Large>(1, 4 << 20).unwrap().len(), 0);
}

#[test]
fn a_large_value_that_decodes_beyond_its_budget_is_not_stored() {
    #[dspinlock(key = (), cached_if_computed)]
    fn rows(runs: &AtomicU32) -> Result<Vec<Option<[[u64; 8]; 8]>>, Error> {
        runs.fetch_add(1, Ordering::SeqCst);
        Ok(vec![None; 1 << 21])
    }
    init_in_memory();
    let runs = AtomicU32::new(0);
    for expected in [1, 2] {
        assert_eq!(rows(&runs).unwrap().len(), 1 << 21);
        assert_eq!(runs.load(Ordering::SeqCst), expected);
    }
}
