//! Calls that end badly: by an error, a panic, a timeout, or dropped at any point of their way.

use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use dspinlock_testkit::{At, Fate, Job, Worker, eventually};

use crate::common::store::Store;
use crate::fixture::{Scene, at_rest, is_long, nothing_left, warm, within};

/// Far longer than any of these tests: nothing is free because a lease was over.
const LEASE: u64 = 60_000;

/// For a waiter to have asked the store.
const A_WHILE: Duration = Duration::from_millis(20);

const AT_ONCE: Duration = Duration::from_millis(50);

fn rounds() -> usize {
    if is_long() { 400 } else { 40 }
}

fn job(key: &str) -> Job {
    Job::new("cached", key)
        .with("lease", LEASE)
        .with("block", 2 * LEASE)
        .with("sleep", 10_000)
}

#[test]
fn after_err_panic_abort_or_timeout_a_waiter_in_another_process_starts_at_once() {
    for store in Store::each() {
        let (holder, waiter) = (
            warm(Worker::start(&store.url())),
            warm(Worker::start(&store.url())),
        );
        let before = (at_rest(&holder), at_rest(&waiter));
        for (end, error) in [
            ("err", "Body"),
            ("panic", "panic"),
            ("drop", "dropped"),
            ("timeout", "dropped"),
        ] {
            let times = (0..rounds()).map(|round| ends_badly(&holder, &waiter, end, error, round));
            within(AT_ONCE, format_args!("{end} on {}", store.url()), times.collect());
        }
        nothing_left(&holder, before.0);
        nothing_left(&waiter, before.1);
    }
}

/// How long after the end of the first body the next one begins.
fn ends_badly(holder: &Worker, waiter: &Worker, end: &str, error: &str, round: usize) -> Duration {
    let job = job(&format!("{end}{round}"));
    let timeout = Duration::from_millis(60);
    let body = match end {
        "err" | "panic" => format!("gate+{end}"),
        _ => "gate".into(),
    };
    let mut failing = job.clone().with("body", body);
    if end == "timeout" {
        failing = failing.with("timeout", timeout.as_millis());
    }
    let called = Instant::now();
    let held = holder.call(&failing);
    held.began();
    let waiting = waiter.call(&job);
    sleep(A_WHILE);
    assert!(waiting.is_quiet(), "two bodies run at once");
    let mut start = Instant::now();
    match end {
        "drop" => held.cancel(),
        "timeout" => start = called + timeout,
        _ => held.go(),
    }
    waiting.began();
    let took = start.elapsed();
    assert_eq!(held.end(), Err(error.to_owned()));
    assert!(waiting.end().is_ok());
    took
}

/// Dropped after every number of polls, at once or when it would have been polled again, a call leaves nothing behind:
/// on its way to the lock, in its body and on its way to the publish.
#[test]
fn a_call_dropped_at_any_await_leaves_the_key_free() {
    scope(|threads| {
        for store in Store::each() {
            threads.spawn(move || dropped_everywhere(&store));
        }
    });
}

fn dropped_everywhere(store: &Store) {
    let (dropper, next) = (
        warm(Worker::start(&store.url())),
        warm(Worker::start(&store.url())),
    );
    let before = (at_rest(&dropper), at_rest(&next));
    let mut times = Vec::new();
    for late in [false, true] {
        for function in ["cached", "each", "shared"] {
            let job = |key: &str| {
                Job::new(function, key)
                    .with("lease", LEASE)
                    .with("block", 2 * LEASE)
                    .with("sleep", 10_000)
            };
            let mut awaits = 0;
            while !dropped_after(&dropper, &next, &job, awaits + 1, late, &mut times) {
                awaits += 1;
            }
            println!("{function} on {}: {awaits} awaits, late: {late}", store.url());
            assert!(awaits >= 3, "a body of two sleeps has more awaits than {awaits}");
        }
    }
    within(AT_ONCE, format_args!("dropped on {}", store.url()), times);
    nothing_left(&dropper, before.0);
    nothing_left(&next, before.1);
}

/// Whether the call came to its end before it was to be dropped.
fn dropped_after(
    dropper: &Worker,
    next: &Worker,
    job: &impl Fn(&str) -> Job,
    polls: usize,
    late: bool,
    times: &mut Vec<Duration>,
) -> bool {
    let mut ended = true;
    for round in 0..rounds() / 8 {
        let job = job(&format!("{late}{polls}-{round}"));
        let limited = job.clone().with("polls", polls).with("late", late);
        let (_, outcome) = dropper
            .call(&limited.clone().with("body", "sleep:1+sleep:1"))
            .story();
        let start = Instant::now();
        assert!(next.call(&job).end().is_ok());
        if outcome.is_err() {
            assert_eq!(outcome, Err("dropped".to_owned()));
            let took = start.elapsed();
            if took > AT_ONCE {
                println!("{took:?} after {polls} polls of {limited:?}");
            }
            times.push(took);
            ended = false;
        }
    }
    ended
}

/// The one who waits is dropped, and neither the holder nor those who wait behind are harmed.
#[test]
fn a_waiter_dropped_at_any_await_harms_nobody() {
    for store in Store::each() {
        let (holder, waiter) = (
            warm(Worker::start(&store.url())),
            warm(Worker::start(&store.url())),
        );
        let before = (at_rest(&holder), at_rest(&waiter));
        for polls in 1..=6 {
            let job = job(&format!("{polls}"));
            let held = holder.call(&job.clone().with("body", "gate"));
            held.began();
            let leaves = waiter.call(&job.clone().with("polls", polls));
            let stays = waiter.call(&job);
            sleep(A_WHILE);
            // It may wait at an earlier await: nothing wakes it there.
            leaves.cancel();
            assert_eq!(leaves.story(), (0, Err("dropped".to_owned())));
            held.go();
            let value = held.end();
            assert_eq!(stays.story(), (0, value));
        }
        nothing_left(&holder, before.0);
        nothing_left(&waiter, before.1);
    }
}

#[test]
fn a_call_dropped_while_its_acquire_is_in_flight_leaves_nothing_held() {
    for at in [At::Request, At::Reply] {
        let scene = Scene::new();
        let (proxy, worker) = scene.behind_a_proxy();
        let before = at_rest(&worker);
        let other = scene.worker();
        let job = scene
            .job("each", "key")
            .with("lease", LEASE)
            .with("block", 2 * LEASE);
        proxy.on("ACQUIRE", at, Fate::Hold);
        let call = worker.call(&job);
        proxy.met();
        call.cancel();
        assert_eq!(call.end(), Err("dropped".to_owned()));
        let start = Instant::now();
        proxy.resume();
        other.call(&job).end().expect("the key is free");
        println!(
            "dropped at its ACQUIRE, {at:?}: free after {:.1?}",
            start.elapsed()
        );
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
        nothing_left(&worker, before);
        scene.check();
    }
}

/// Not even where it has lost its lease meanwhile.
#[test]
fn no_heart_beats_for_a_call_that_has_ended() {
    let scene = Scene::new();
    let (proxy, worker) = scene.behind_a_proxy();
    for body in ["", "err", "panic", "sleep:5000"] {
        let job = scene.job("each", body.len()).with("lease", 300);
        let ended = worker.call(&job.with("body", body).with("timeout", 1000)).end();
        assert!(ended.is_ok() == body.is_empty());
        let beats = proxy.asked("RENEW");
        assert_eq!(body.starts_with("sleep"), beats > 0, "{body}: {beats} beats");
        sleep(Duration::from_millis(600));
        assert_eq!(proxy.asked("RENEW"), beats, "after {body:?}");
    }
    eventually("nothing to be held", || scene.is_free().then_some(()));
}
