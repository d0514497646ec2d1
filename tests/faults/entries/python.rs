//! Real py-dspinlock workers on the same keys, some with wrong clocks.
//!
//! They write without a check, so that exclusion is best effort. No hit is stale, and a holder notices its loss.

use std::thread::sleep;
use std::time::{Duration, Instant};

use dspinlock::HashDSpinlock;
use dspinlock_testkit::{ChildProcess, Job, Python, Redis, Worker};

use crate::common::python::peer_with_clock;
use crate::staleness::{Plan, Report, start};

#[test]
fn python_workers_cause_no_stale_hit() {
    let server = Redis::start();
    let clocks = ["+0", "+0", "+1h", "-40m"];
    let plan = Plan {
        keys: 2,
        writers: 1 + clocks.len() as u64,
        rounds: 300,
    };
    let start_time = Instant::now();
    let peers: Vec<ChildProcess> = (1..)
        .zip(clocks)
        .map(|(writer, by)| {
            let words = [server.port().into(), plan.keys, writer, 100].map(|word: u64| word.to_string());
            Python::with_clock(by, include_str!("peer.py"), &words.each_ref().map(String::as_str))
        })
        .collect();
    let processes: Vec<_> = (0..plan.keys)
        .map(|key| start(&server.url(), plan, key))
        .collect();
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
    let report = Report::of(&processes);
    println!("after {:?}: {report:?}", start_time.elapsed());
    assert_eq!(report.stale, 0, "{report:?}");
    assert!(report.lost > 20 && report.bodies > 100, "{report:?}");
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
    assert_eq!(rust.call(&job).outcome(), (0, Ok("new".to_owned())));
}

fn state(server: &Redis) -> Option<String> {
    server.get(&HashDSpinlock::new("example").key().expect("a string is a key"))
}
