//! Real py-dspinlock workers on the same keys, some with wrong clocks.
//!
//! They write without a check, so that exclusion is best effort. A holder notices its loss.

use std::thread::sleep;
use std::time::{Duration, Instant};

use dspinlock::HashDSpinlock;
use dspinlock_testkit::{ChildProcess, Job, Python, Redis, Worker};

use crate::common::python::peer_with_clock;

#[test]
fn python_workers_cause_no_error_of_another_kind() {
    const KEYS: u64 = 2;
    let server = Redis::start();
    let clocks = ["+0", "+0", "+1h", "-40m"];
    let peers: Vec<ChildProcess> = (1..)
        .zip(clocks)
        .map(|(writer, by)| {
            let words = [server.port().into(), KEYS, writer, 100].map(|word: u64| word.to_string());
            Python::with_clock(by, include_str!("peer.py"), &words.each_ref().map(String::as_str))
        })
        .collect();
    let worker = Worker::start(&server.url());
    let (mut bodies, mut calls) = (0, 0);
    for _ in 0..60 {
        for key in 0..KEYS {
            let job = Job::new("shared", &key.to_string())
                .with("sleep", 20)
                .with("tries", 100);
            let (ran, outcome) = worker.call(&job).outcome();
            assert!(
                outcome.is_ok() || outcome == Err("SpinlockTriesExceeded".into()),
                "{outcome:?}"
            );
            (bodies, calls) = (bodies + ran, calls + 1);
        }
    }
    // Python workers may fail by each other, because they write without a check.
    let own = ["InvalidMutexReleaseEncountered", "SpinlockTriesExceeded"];
    for (peer, by) in peers.iter().zip(clocks) {
        let errors = peer.recv();
        println!("a Python worker with a clock of {by}: {errors}");
        let foreign = errors
            .split_whitespace()
            .find(|error| !own.contains(&error.split('=').next().unwrap_or_default()));
        assert_eq!(foreign, None, "{errors}");
    }
    println!("{calls} calls, {bodies} bodies");
    assert!(bodies > 3 && calls > bodies, "{calls} calls, {bodies} bodies");
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
