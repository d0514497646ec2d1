//! Real py-dspinlock workers on the same keys, in every role, some with wrong clocks. They write without looking:
//! exclusion is best effort, but nothing stale is ever shown, and what they did to a holder is known to it.

use std::thread::sleep;
use std::time::{Duration, Instant};

use dspinlock::HashDSpinlock;
use dspinlock_testkit::{Job, Lines, Python, Redis, Worker};

use crate::staleness::{Play, Report, start};

#[test]
fn python_workers_in_every_role_and_no_stale_hit() {
    let server = Redis::start();
    let clocks = ["+0", "+0", "+1h", "-40m"];
    let play = Play {
        keys: 2,
        actors: 1 + clocks.len() as u64,
        rounds: 300,
    };
    let begun = Instant::now();
    let peers: Vec<Lines> = (1..)
        .zip(clocks)
        .map(|(actor, by)| {
            let words = [server.port().into(), play.keys, actor, 100].map(|word: u64| word.to_string());
            Python::with_clock(by, include_str!("peer.py"), &words.each_ref().map(String::as_str))
        })
        .collect();
    let processes: Vec<_> = (0..play.keys)
        .map(|key| start(&server.url(), play, key))
        .collect();
    // What Python workers do to each other, as they write without looking.
    let own = ["InvalidMutexReleaseEncountered", "SpinlockTriesExceeded"];
    for (peer, by) in peers.iter().zip(clocks) {
        let errors = peer.hear();
        println!("a Python worker with a clock of {by}: {errors}");
        let foreign = errors
            .split_whitespace()
            .find(|error| !own.contains(&error.split('=').next().unwrap_or_default()));
        assert_eq!(foreign, None, "{errors}");
    }
    let report = Report::of(&processes);
    println!("after {:?}: {report:?}", begun.elapsed());
    assert_eq!(report.stale, 0, "{report:?}");
    assert!(report.lost > 20 && report.bodies > 100, "{report:?}");
}

#[test]
fn what_python_writes_over_a_lock_is_a_loss_within_a_heartbeat() {
    const LEASE: Duration = Duration::from_millis(1500);
    // Its clock says that the lock is older than its `max_block_time` of half an hour; or it deletes it.
    for (by, order) in [("+1h", "acquire a"), ("-1h", "delete a"), ("+0", "delete a")] {
        let server = Redis::start();
        let python = Python::with_clock(
            by,
            include_str!("../../common/peer.py"),
            &[&server.port().to_string()],
        );
        assert_eq!(python.ask("new a key=example sleep=0.01"), "ok");
        let rust = Worker::start(&server.url());
        let job = Job::new("shared", "example").with("lease", LEASE.as_millis());
        let held = rust.call(&job.clone().with("body", "lost+gate").with("value", "old"));
        held.began();
        let answer = python.ask(order);
        assert!(["ok", "True"].contains(&answer.as_str()), "{by}: {answer}");
        let (start, written) = (Instant::now(), state(&server));
        assert_eq!(held.event().as_deref(), Some("lost"));
        let took = start.elapsed();
        println!("{order} by a clock of {by}: known after {took:?}");
        assert!(took <= LEASE / 3 + Duration::from_millis(500), "{took:?}");
        held.go();
        assert_eq!(held.end().as_deref(), Ok("old"), "the value is returned");
        sleep(Duration::from_millis(100));
        assert_eq!(state(&server), written, "and Python's state left alone");
        assert_eq!(
            python.ask("delete a"),
            if written.is_some() { "True" } else { "False" }
        );
        let next = rust.call(&job.clone().with("value", "new")).story();
        assert_eq!(next, (1, Ok("new".to_owned())), "nothing was stored");
    }
}

#[test]
fn a_lock_of_a_python_worker_with_a_late_clock_is_not_waited_for_for_ever() {
    let server = Redis::start();
    // Its locks look as if they were 40 minutes old, ten more than the default `max_block_time`.
    let python = Python::with_clock(
        "-40m",
        include_str!("../../common/peer.py"),
        &[&server.port().to_string()],
    );
    assert_eq!(python.ask("new a key=example"), "ok");
    assert_eq!(python.ask("acquire a"), "ok");
    let rust = Worker::start(&server.url());
    let job = Job::new("shared", "example")
        .with("sleep", 100)
        .with("value", "new");
    let (start, call) = (Instant::now(), rust.call(&job));
    call.began();
    let took = start.elapsed();
    println!("taken over after {took:?}");
    // The same state has to be seen for five seconds.
    assert!((5000..6500).contains(&took.as_millis()), "{took:?}");
    assert!(call.end().is_ok());
    let kept = state(&server);
    python.ask("release a");
    assert_eq!(state(&server), kept, "its late release changes nothing");
    assert_eq!(rust.call(&job).story(), (0, Ok("new".to_owned())));
}

fn state(server: &Redis) -> Option<String> {
    server.get(&HashDSpinlock::new("example").expect("a text is a key").key())
}
