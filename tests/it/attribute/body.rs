//! The body of a locked function: its lease, recursion, panics.

use std::panic::{Location, catch_unwind};
use std::time::{Duration, Instant};

use dspinlock::{Error, dspinlock};
use dspinlock_testkit::{Job, Worker};

use crate::common::store::{Store, init_in_memory};

#[test]
fn a_body_that_calls_its_own_key_fails_at_once() {
    for store in Store::each() {
        let worker = Worker::start(&store.url());
        let start = Instant::now();
        let job = Job::new("cached", "key");
        let call = worker.call(&job.clone().with("body", "recurse"));
        assert_eq!(call.outcome(), (1, Err("Recursion".to_owned())));
        assert!(start.elapsed() < Duration::from_secs(5));
        assert!(worker.call(&job).result().is_ok(), "the key is not free");
    }
}

#[tokio::test]
async fn only_the_body_sees_its_lease() {
    #[dspinlock(key = "lease")]
    async fn body() -> Result<u64, Error> {
        tokio::task::yield_now().await;
        let lease = dspinlock::current().expect("a body has a lease");
        assert!(!lease.is_lost());
        Ok(lease.fence())
    }
    init_in_memory();
    assert!(dspinlock::current().is_none());
    let (first, second) = (body().await.unwrap(), body().await.unwrap());
    assert!(first > 0 && second > first);
    assert!(dspinlock::current().is_none());
}

#[test]
fn a_panic_of_the_body_unwinds_and_frees_the_key() {
    #[dspinlock(key = (), cached_if_computed)]
    fn body(panic: bool) -> Result<usize, Error> {
        if panic {
            panic!("the body's panic");
        }
        Ok(1)
    }
    init_in_memory();
    let panic = catch_unwind(|| body(true)).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"the body's panic"));
    assert_eq!(body(false).unwrap(), 1);
}

#[test]
fn run_unlocked_runs_the_body_if_the_lock_fails() {
    #[dspinlock(key = (), wait = "50ms", on_error = run_unlocked)]
    fn nested(depth: u8) -> u8 {
        // The inner call cannot acquire the key, because the outer one holds it.
        if depth == 0 { 0 } else { 1 + nested(depth - 1) }
    }
    init_in_memory();
    assert_eq!(nested(2), 2);
}

/// A closure cannot be `#[track_caller]`, and a sync body is one.
#[test]
fn track_caller_does_not_reach_the_body() {
    #[track_caller]
    #[dspinlock(key = (), on_error = panic)]
    fn place() -> (u32, &'static Location<'static>) {
        (line!(), Location::caller())
    }
    init_in_memory();
    let (line, place) = place();
    assert_eq!((place.file(), place.line()), (file!(), line));
}
