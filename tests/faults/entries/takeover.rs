//! States that stand there for ever, and stamps from nowhere.

use std::thread;
use std::time::{Duration, Instant};

use dspinlock::HashDSpinlock;
use dspinlock_testkit::{Job, Redis, Worker};

/// How long a body may keep others out.
const BLOCK: Duration = Duration::from_millis(2000);

/// What a waiter may need on top of it: one of its sleeps, and what a busy machine adds.
const SLACK: Duration = Duration::from_millis(100 + 900);

fn job(key: &str) -> Job {
    Job::new("shared", key)
        .with("block", BLOCK.as_millis())
        .with("lease", 1000)
        .with("sleep", 100)
}

fn state_of(key: &str) -> String {
    HashDSpinlock::new(key).expect("a text is a key").key()
}

#[test]
fn whatever_the_stamp_and_without_expiry_a_waiter_goes_on_after_max_block_time() {
    let stamps = [
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
        for (at, stamp) in stamps.iter().enumerate() {
            for expiry in [None, Some("3600")] {
                scope.spawn(move || {
                    let key = format!("stamp{at}{}", expiry.is_some());
                    let state = format!("0d9ef2f7,{stamp},0");
                    server.raw(&["SET", &state_of(&key), &state]);
                    if let Some(seconds) = expiry {
                        server.raw(&["EXPIRE", &state_of(&key), seconds]);
                    }
                    let (start, call) = (Instant::now(), worker.call(&job(&key)));
                    call.began();
                    let took = start.elapsed();
                    println!("{stamp}, expiry {expiry:?}: after {took:?}");
                    // Redis counts in whole milliseconds.
                    assert!(
                        took >= BLOCK - Duration::from_millis(2),
                        "{stamp}: too early, {took:?}"
                    );
                    assert!(took <= BLOCK + SLACK, "{stamp}: too late, {took:?}");
                    assert!(call.end().is_ok());
                });
            }
        }
    });
}

#[test]
fn what_is_no_state_is_an_error_at_once_and_left_as_it_is() {
    // A stamp without a zone names no moment.
    let states = [
        (
            "0d9ef2f7,2026-01-02T03:04:05.000006,0",
            "InvalidValueEncounteredDuringUnpacking",
        ),
        (
            "0d9ef2f7,2026-01-02T03:04:05,1",
            "InvalidValueEncounteredDuringUnpacking",
        ),
        (
            "0d9ef2f7,10000-01-01T00:00:00Z,0",
            "InvalidValueEncounteredDuringUnpacking",
        ),
        (
            "0d9ef2f7,-001-01-01T00:00:00Z,0",
            "InvalidValueEncounteredDuringUnpacking",
        ),
        (
            "0d9ef2f7,2026-02-30T00:00:00Z,0",
            "InvalidValueEncounteredDuringUnpacking",
        ),
        ("0d9ef2f7,2026-01-02T03:04:05Z,2", "AtomicQueryInvalidState"),
        ("what is this", "InvalidValueEncounteredDuringUnpacking"),
    ];
    let server = Redis::start();
    let worker = Worker::start(&server.url());
    for (at, (state, error)) in states.iter().enumerate() {
        let key = format!("bad{at}");
        let name = state_of(&key);
        server.raw(&["SET", &name, state]);
        for function in ["shared", "shared_each", "near_shared"] {
            let start = Instant::now();
            let outcome = worker.call(&Job::new(function, &key)).story();
            assert_eq!(outcome, (0, Err((*error).to_owned())), "{function}: {state}");
            assert!(start.elapsed() < Duration::from_secs(1), "{function}: {state}");
        }
        assert_eq!(server.get(&name).as_deref(), Some(*state), "not overwritten");
        assert_eq!(
            server.raw(&["PTTL", &name]),
            redis::Value::Int(-1),
            "nor given an end"
        );
        // The way out.
        assert!(worker.call(&Job::new("forget", &key)).end().is_ok());
        assert_eq!(worker.call(&Job::new("shared", &key)).story().0, 1);
    }
}
