//! Callers that wait for a holder.

use std::time::{Duration, Instant};

use dspinlock::{Error, dspinlock};
use dspinlock_testkit::{Job, Worker};

use crate::common::store::{Store, init_in_memory};

#[test]
fn a_waiter_fails_after_max_spinlock_tries() {
    Store::on_each(|store| {
        let (holder, waiter) = (Worker::start(&store.url()), Worker::start(&store.url()));
        let job = Job::new("cached", "key");
        let held = holder.call(&job.clone().with("body", "gate"));
        held.started();
        let start = Instant::now();
        let impatient = job.clone().with("tries", 3).with("sleep", 200);
        let outcome = waiter.call(&impatient).outcome();
        let elapsed = start.elapsed();
        assert_eq!(outcome, (0, Err("SpinlockTriesExceeded".to_owned())));
        assert!(
            elapsed >= Duration::from_millis(400) && elapsed < Duration::from_millis(1500),
            "{elapsed:?}"
        );
        held.open_gate();
        let value = held.result();
        assert_eq!(
            waiter.call(&impatient).outcome(),
            (0, value),
            "the waiter disturbed the holder"
        );
    });
}

#[test]
fn a_hung_body_loses_its_key_after_max_block_time() {
    Store::on_each(|store| {
        let (holder, waiter) = (Worker::start(&store.url()), Worker::start(&store.url()));
        let job = Job::new("cached", "key").with("block", 1500).with("lease", 900);
        let held = holder.call(&job.clone().with("body", "lost+gate").with("value", "old"));
        let first = held.started();
        let start = Instant::now();
        let next = waiter.call(&job.clone().with("value", "new"));
        let second = next.started();
        let elapsed = start.elapsed();
        assert!(
            elapsed > Duration::from_millis(1300) && elapsed < Duration::from_millis(4000),
            "{elapsed:?}"
        );
        assert!(second > first);
        assert_eq!(
            held.event().as_deref(),
            Some("lost"),
            "the body does not see the loss"
        );
        assert_eq!(next.result().as_deref(), Ok("new"));
        held.open_gate();
        assert_eq!(held.result().as_deref(), Ok("old"));
        assert_eq!(holder.call(&job).result().as_deref(), Ok("new"));
    });
}

#[tokio::test]
async fn wait_limits_the_time_of_a_waiter() {
    #[dspinlock(key = (), wait = "300ms")]
    async fn briefly(gate: &tokio::sync::Notify) -> Result<(), Error> {
        gate.notified().await;
        Ok(())
    }
    #[dspinlock(key = (), wait = forever, spinlock_sleep_thresh = "20ms")]
    async fn long(time: Duration) -> Result<(), Error> {
        tokio::time::sleep(time).await;
        Ok(())
    }
    init_in_memory();
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

#[tokio::test]
async fn a_caller_without_wait_outlasts_a_body_of_6_s() {
    #[dspinlock(key = (), cached_if_computed)]
    async fn slow(time: Duration) -> Result<u64, Error> {
        tokio::time::sleep(time).await;
        Ok(7)
    }
    #[dspinlock(key = (), max_spinlock_tries = 2, spinlock_sleep_thresh = "100ms")]
    async fn two_tries(time: Duration) -> Result<(), Error> {
        tokio::time::sleep(time).await;
        Ok(())
    }
    #[dspinlock(key = (), wait = limit)]
    async fn no_limit(limit: Duration) -> Result<(), Error> {
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ok(())
    }
    init_in_memory();
    let time = Duration::from_secs(6);
    let slow = async { tokio::join!(slow(time), slow(time)) };
    let two_tries = async { tokio::join!(two_tries(time), two_tries(time)) };
    let no_limit = async { tokio::join!(no_limit(Duration::MAX), no_limit(Duration::MAX)) };
    let (slow, two_tries, no_limit) = tokio::join!(slow, two_tries, no_limit);
    assert!(matches!(slow, (Ok(7), Ok(7))), "{slow:?}");
    assert!(
        matches!(two_tries, (Ok(()), Err(Error::SpinlockTriesExceeded { .. }))),
        "{two_tries:?}"
    );
    assert!(matches!(no_limit, (Ok(()), Ok(()))), "{no_limit:?}");
}

/// Each of two processes holds the key that the other one waits for.
#[test]
fn functions_that_wait_for_each_other_are_named() {
    Store::on_each(|store| {
        let workers = [Worker::start(&store.url()), Worker::start(&store.url())];
        let keys = ["one", "two"];
        let calls = [0, 1].map(|at| {
            let job = Job::new("uncached", keys[at]).with("sleep", 300);
            let call = workers[at].call(&job.with("body", format_args!("gate+nest:{}", keys[1 - at])));
            call.started();
            call
        });
        calls.iter().for_each(|call| call.open_gate());
        // The other one may get the key that this one frees.
        let mut events = calls.iter().map(|call| call.event().expect("an event"));
        let error = events
            .find(|event| !event.starts_with("started"))
            .expect("one of them times out");
        let site = "it::common::worker::uncached";
        assert!(
            error.contains(&format!(" while holding `{site}` (dspinlock,a")),
            "{error}"
        );
        assert!(
            error.contains(&format!("; held by `{site}`, process ")),
            "{error}"
        );
        assert!(
            error.ends_with(
                ", or acquire the locks in one order everywhere if the holder waits for this call"
            ),
            "{error}"
        );
    });
}

#[test]
fn an_explicit_lock_in_a_body_names_the_function_that_waits_for_it() {
    Store::on_each(|store| {
        let pool = dspinlock::Pool::open(&store.url()).unwrap();
        let _held = dspinlock::HashDSpinlock::new("example")
            .pool(&pool)
            .acquire_blocking()
            .unwrap();
        let worker = Worker::start(&store.url());
        let call = worker.call(&Job::new("uncached", "key").with("body", "sleep:1+explicit:example"));
        call.started();
        let error = call.event().unwrap();
        assert!(
            error.contains("waiting for `explicit lock` (dspinlock,"),
            "{error}"
        );
        assert!(
            error.contains(" while holding `it::common::worker::uncached` (dspinlock,a"),
            "{error}"
        );
    });
}

/// The bodies of a call are those that wait for it. Another thread is no part of them.
#[test]
fn every_waiting_body_is_named_the_innermost_first() {
    #[dspinlock(key = depth, wait = "0s")]
    fn nested(depth: u32) -> Result<(), Error> {
        match depth {
            0 => std::thread::scope(|scope| scope.spawn(|| busy(1)).join().unwrap()).map(drop),
            _ => Ok(()),
        }
    }
    #[dspinlock(key = depth, wait = "0s")]
    fn busy(depth: u32) -> Result<(), Error> {
        match depth {
            0 => nested(0),
            depth => middle(depth),
        }
    }
    #[dspinlock(key = depth, wait = "0s")]
    fn middle(depth: u32) -> Result<(), Error> {
        nested(depth - 1)
    }
    init_in_memory();
    let Err(Error::SpinlockTriesExceeded { key, holding, .. }) = busy(0) else {
        panic!("the key is held")
    };
    assert!(key.site().ends_with("nested"), "{key}");
    let sites: Vec<_> = holding
        .iter()
        .map(|key| key.site().rsplit("::").next().unwrap())
        .collect();
    assert_eq!(sites, ["middle", "busy"]);
}
