//! Real py-dspinlock workers on the same keys, some with wrong clocks.
//!
//! They write without a check, so that exclusion is best effort. A holder notices its loss.

use std::thread::sleep;
use std::time::{Duration, Instant};

use dspinlock::HashDSpinlock;
use dspinlock_testkit::{Job, Python, Redis, Worker};

use crate::common::python::peer_with_clock;

/// The errors that Python workers raise by each other and by Rust workers, because they write without a check.
const PYTHON_ERRORS: [&str; 5] = [
    // The key was held for as long as the worker tried, 100 ms.
    "SpinlockTriesExceeded Spinlock tries limit",
    // Another worker deleted the key while this one held it.
    "InvalidMutexReleaseEncountered Encountered release request before mutex acquisition",
    // Another worker took the lock over.
    "InvalidMutexReleaseEncountered Encountered a blocked query mutex",
    // Another worker wrote or deleted the key between the read and the write of a release.
    "InvalidMutexReleaseEncountered Mutex could not be broken during release",
    // Another worker changed the key between the read and the write of an acquire or a release, and the key was deleted then.
    "InvalidMutexReleaseEncountered Cannot have a null key at break check",
];

#[test]
fn python_workers_cause_no_error_of_another_kind() {
    const KEYS: u64 = 2;
    let server = Redis::start();
    let clocks = ["+0", "+0", "+1h", "-40m"];
    let peers = clocks.map(|by| {
        let words = [server.port().into(), KEYS, 100].map(|word: u64| word.to_string());
        Python::with_clock(by, include_str!("peer.py"), &words.each_ref().map(String::as_str))
    });
    let worker = Worker::start(&server.url());
    let (mut bodies, mut calls) = (0, 0);
    for _ in 0..60 {
        for key in 0..KEYS {
            // A cached call accepts a key that a Python worker has computed.
            for (function, accepts) in [("shared", true), ("shared_uncached", false)] {
                let job = Job::new(function, &key.to_string())
                    .with("sleep", 20)
                    .with("tries", 100);
                let (ran, outcome) = worker.call(&job).outcome();
                match outcome {
                    Ok(_) => assert!(accepts || ran == 1, "{function} without a body"),
                    Err(error) => assert_eq!(error, "SpinlockTriesExceeded"),
                }
                (bodies, calls) = (bodies + ran, calls + 1);
            }
        }
    }
    for (peer, by) in peers.iter().zip(clocks) {
        let errors: Vec<_> = std::iter::from_fn(|| Some(peer.recv()).filter(|line| line != "end")).collect();
        println!("a Python worker with a clock of {by}: {errors:#?}");
        for error in errors {
            let (_, error) = error.split_once(' ').expect("a count and an error");
            assert!(PYTHON_ERRORS.iter().any(|own| error.starts_with(own)), "{error}");
        }
    }
    println!("{calls} calls, {bodies} bodies");
    assert!(bodies > calls / 3, "{calls} calls, {bodies} bodies");
}

#[test]
fn a_lock_overwritten_by_python_is_lost_within_a_heartbeat() {
    const LEASE: Duration = Duration::from_millis(1500);
    // By its clock the lock is older than its `max_block_time` of half an hour. Or it deletes the lock.
    for (by, request) in [("+1h", "acquire a"), ("-1h", "delete a"), ("+0", "delete a")] {
        let server = Redis::start();
        let python = peer_with_clock(by, &server);
        assert_eq!(python.request("new a key=example sleep=0.01"), "ok");
        let rust = Worker::start(&server.url());
        let job = Job::new("shared", "example").with("lease", LEASE.as_millis());
        let held = rust.call(&job.clone().with("body", "lost+gate").with("value", "old"));
        held.started();
        let reply = python.request(request);
        assert!(["ok", "True"].contains(&reply.as_str()), "{by}: {reply}");
        let (start, written) = (Instant::now(), state(&server));
        assert_eq!(held.event().as_deref(), Some("lost"));
        let elapsed = start.elapsed();
        println!("{request} with the clock {by}: lost after {elapsed:?}");
        assert!(elapsed <= LEASE / 3 + Duration::from_millis(500), "{elapsed:?}");
        held.open_gate();
        assert_eq!(
            held.result().as_deref(),
            Ok("old"),
            "the caller does not get its value"
        );
        sleep(Duration::from_millis(100));
        assert_eq!(state(&server), written, "the state of Python was changed");
        assert_eq!(
            python.request("delete a"),
            if written.is_some() { "True" } else { "False" }
        );
        let next = rust.call(&job.clone().with("value", "new")).outcome();
        assert_eq!(next, (1, Ok("new".to_owned())), "the lost result was stored");
    }
}

#[test]
fn a_lock_of_a_python_worker_with_a_late_clock_is_taken_over() {
    let server = Redis::start();
    // Its locks look 40 minutes old, ten more than the default `max_block_time`.
    let python = peer_with_clock("-40m", &server);
    assert_eq!(python.request("new a key=example"), "ok");
    assert_eq!(python.request("acquire a"), "ok");
    let rust = Worker::start(&server.url());
    let job = Job::new("shared", "example")
        .with("sleep", 100)
        .with("value", "new");
    let (start, call) = (Instant::now(), rust.call(&job));
    call.started();
    let elapsed = start.elapsed();
    println!("taken over after {elapsed:?}");
    // A takeover needs the same state for five seconds.
    assert!((5000..6500).contains(&elapsed.as_millis()), "{elapsed:?}");
    assert!(call.result().is_ok());
    let kept = state(&server);
    python.request("release a");
    assert_eq!(state(&server), kept, "the late release changed the state");
    assert_eq!(rust.call(&job).outcome(), (0, Ok("computed".to_owned())));
}

fn state(server: &Redis) -> Option<String> {
    server.get(&HashDSpinlock::new("example").key().expect("a string is a key"))
}
