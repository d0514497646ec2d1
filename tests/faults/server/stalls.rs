//! Servers that stop replying for a while.

use std::thread::sleep;
use std::time::{Duration, Instant};

use dspinlock::Pool;
use dspinlock_testkit::{Redis, eventually};

use crate::common::lock::lock;
use crate::common::{logs, worker};

use crate::fixture::Fixture;

const SHORT_PAUSE: Duration = Duration::from_millis(200);

#[test]
fn a_stall_shorter_than_the_lease_loses_nothing() {
    let fixture = Fixture::with(&["--enable-debug-command", "yes"]);
    let (holder, waiter) = (fixture.worker(), fixture.worker());
    let job = fixture
        .job("cached", "short")
        .with("lease", 3000)
        .with("sleep", 10_000);
    let held = holder.call(&job.clone().with("body", "gate").with("value", "first"));
    held.started();
    let waiting = waiter.call(&job.with("value", "second"));
    sleep(SHORT_PAUSE);
    fixture.server.raw(&["DEBUG", "SLEEP", "1"]);
    held.open_gate();
    assert_eq!(held.result().as_deref(), Ok("first"), "the lease was lost");
    assert_eq!(waiting.outcome(), (0, Ok("first".to_owned())));
    fixture.check();
}

#[test]
fn a_stall_longer_than_the_lease_loses_it_and_keeps_one_result() {
    let fixture = Fixture::with(&["--enable-debug-command", "yes"]);
    let (holder, waiter) = (fixture.worker(), fixture.worker());
    let job = fixture
        .job("cached", "long")
        .with("lease", 1000)
        .with("sleep", 10_000);
    let (_, publishes) = fixture.written();
    let held = holder.call(&job.clone().with("body", "gate").with("value", "old"));
    let first = held.started();
    let waiting = waiter.call(&job.clone().with("value", "new"));
    sleep(SHORT_PAUSE);
    fixture.server.raw(&["DEBUG", "SLEEP", "3"]);
    assert!(waiting.started() > first, "the fence does not grow");
    assert_eq!(waiting.result().as_deref(), Ok("new"));
    held.open_gate();
    assert_eq!(
        held.result().as_deref(),
        Ok("old"),
        "the caller does not get its own value"
    );
    let lost = holder.logs().iter().any(|line| line.contains("lost the lease"));
    assert!(lost, "the loss is not logged");
    let again = waiter.call(&job.with("value", "third"));
    assert_eq!(again.outcome(), (0, Ok("new".to_owned())));
    fixture.check();
    assert_eq!(fixture.written().1, publishes + 1);
}

#[test]
fn a_server_that_stops_replying_is_an_error_and_used_again() {
    logs::capture();
    let server = Redis::start();
    let pool = Pool::open(&server.url()).unwrap();
    let lock = || lock(&pool);
    drop(lock().acquire_blocking().unwrap());
    server.pause();
    let start = Instant::now();
    let error = lock().acquire_blocking().map(|_| ()).unwrap_err();
    println!("{error} after {:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(20));
    let name = worker::variant(&error);
    assert!(
        ["Store", "RedisNotInitialized"].contains(&name.as_str()),
        "{error}"
    );
    assert!(!logs::leaks(Some(&error)));
    server.resume();
    drop(eventually("the store to be used again", || {
        lock().acquire_blocking().ok()
    }));
}
