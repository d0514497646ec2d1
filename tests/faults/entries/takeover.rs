//! Takeover of stale states, whatever their timestamp.

use std::thread;
use std::time::{Duration, Instant};

use dspinlock::HashDSpinlock;
use dspinlock_testkit::{Job, Redis, Worker};

use crate::fixture::Fixture;

/// The `max_block_time` of the calls.
const MAX_BLOCK_TIME: Duration = Duration::from_millis(2000);

/// A stale state is taken over only after this time without a change.
const STALE_AFTER: Duration = Duration::from_secs(5);

/// What a waiter may need in addition: one sleep, and a margin for a loaded machine.
const SLACK: Duration = Duration::from_millis(100 + 900);

fn job(key: &str) -> Job {
    Job::new("shared", key)
        .with("block", MAX_BLOCK_TIME.as_millis())
        .with("lease", 1000)
        .with("sleep", 100)
}

fn state_of(key: &str) -> String {
    HashDSpinlock::new(key).key().expect("a string is a key")
}

#[test]
fn a_state_with_any_timestamp_is_taken_over_after_max_block_time() {
    let timestamps = [
        "0000-01-01T00:00:00+00:00",
        "0001-01-01T00:00:00.000001+00:00",
        "2001-02-03T04:05:06Z",
        "2999-01-01T00:00:00+00:00",
        "9999-12-31T23:59:59.999999+00:00",
        "9999-12-31T23:59:59-23:59",
    ];
    let server = Redis::start();
    let (worker, server) = (&Worker::start(&server.url()), &server);
    thread::scope(|scope| {
        for (at, timestamp) in timestamps.iter().enumerate() {
            for expiry in [None, Some("3600")] {
                scope.spawn(move || {
                    let key = format!("timestamp{at}{}", expiry.is_some());
                    let state = format!("0d9ef2f7,{timestamp},0");
                    server.raw(&["SET", &state_of(&key), &state]);
                    if let Some(seconds) = expiry {
                        server.raw(&["EXPIRE", &state_of(&key), seconds]);
                    }
                    let (start, call) = (Instant::now(), worker.call(&job(&key)));
                    call.started();
                    let elapsed = start.elapsed();
                    println!("{timestamp}, expiry {expiry:?}: after {elapsed:?}");
                    // The first ACQUIRE sets an expiry on a state without one.
                    let free_after = match expiry {
                        None => MAX_BLOCK_TIME,
                        Some(_) => MAX_BLOCK_TIME.max(STALE_AFTER),
                    };
                    // Redis rounds to milliseconds.
                    assert!(
                        elapsed >= free_after - Duration::from_millis(2),
                        "{timestamp}: too early, {elapsed:?}"
                    );
                    assert!(
                        elapsed <= free_after + SLACK,
                        "{timestamp}: too late, {elapsed:?}"
                    );
                    assert!(call.result().is_ok());
                });
            }
        }
    });
}

#[test]
fn a_foreign_lock_is_taken_over_only_if_it_is_older_than_max_block_time() {
    thread::scope(|scope| {
        for (timestamp, taken) in [
            ("2020-01-02T03:04:05+00:00", true),
            ("2999-01-02T03:04:05+00:00", false),
        ] {
            scope.spawn(move || waits_for_a_foreign_lock(timestamp, taken));
        }
    });
}

fn waits_for_a_foreign_lock(timestamp: &str, taken: bool) {
    let server = Redis::start();
    let worker = Worker::start(&server.url());
    let job = Job::new("shared", "example")
        .with("block", 10_000)
        .with("lease", 1000);
    worker.call(&job).result().unwrap();
    let name = server.only_name();
    server.raw(&["SET", &name, &format!("0d9ef2f7,{timestamp},0")]);
    let start = Instant::now();
    // The state is taken over if it does not change for five seconds. For a timestamp in the future only the local clock
    // counts.
    let call = worker.call(&job.with("sleep", 1000).with("tries", 8));
    assert_eq!(call.outcome().1.is_ok(), taken, "{timestamp}");
    assert!(start.elapsed() > Duration::from_secs(5), "{timestamp}");
}

#[test]
fn fifty_waiters_take_a_stale_key_over_once() {
    let fixture = Fixture::new();
    let workers: Vec<Worker> = (0..5).map(|_| fixture.worker()).collect();
    let job = Job::new("shared", "stale")
        .with("block", 1000)
        .with("lease", 1000)
        .with("sleep", 1000);
    let (grants, _) = fixture.written();
    let stale = "gone,2001-01-01T00:00:00+00:00,0";
    fixture
        .server
        .raw(&["SET", &state_of("stale"), stale, "PX", "600000"]);
    let start = Instant::now();
    let calls: Vec<_> = (0..10)
        .flat_map(|_| workers.iter().map(|worker| worker.call(&job)))
        .collect();
    // The looks that find a stale state wait for the server, so that all processes take it over at the same time.
    thread::sleep(STALE_AFTER - Duration::from_millis(500));
    fixture.server.pause();
    thread::sleep(Duration::from_millis(1500));
    fixture.server.resume();
    let mut bodies = 0;
    for call in calls {
        let (ran, outcome) = call.outcome();
        assert!(outcome.is_ok(), "{outcome:?}");
        bodies += ran;
    }
    println!("taken over after {:.1?}", start.elapsed());
    assert_eq!((bodies, fixture.written().0), (1, grants + 1));
}
