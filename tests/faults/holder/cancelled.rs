//! Calls that fail, panic, time out, or are dropped at any await.

use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use dspinlock_testkit::{Action, BareClient, Job, Redis, Stage, Worker, eventually};

use crate::common::store::Store;
use crate::fixture::{Fixture, assert_within, idle_tasks, is_long, wait_idle, warm};

/// Far longer than any of these tests, so that no lease expires.
const LEASE: u64 = 60_000;

/// Long enough for a waiter to query the store.
const SHORT_PAUSE: Duration = Duration::from_millis(20);

const FREED_WITHIN: Duration = Duration::from_millis(50);

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
fn a_failed_call_wakes_a_waiter_of_another_process_at_once() {
    for store in Store::each() {
        let (holder, waiter) = (
            warm(Worker::start(&store.url())),
            warm(Worker::start(&store.url())),
        );
        let before = (idle_tasks(&holder), idle_tasks(&waiter));
        for (end, error) in [
            ("err", "Body"),
            ("panic", "panic"),
            ("drop", "dropped"),
            ("timeout", "dropped"),
        ] {
            let bare = BareClient::start();
            let times = (0..rounds()).map(|round| time_to_next_body(&holder, &waiter, end, error, round));
            let times = times.collect();
            assert_within(
                FREED_WITHIN + bare.delay(),
                format_args!("{end} on {}", store.url()),
                times,
            );
        }
        wait_idle(&holder, before.0);
        wait_idle(&waiter, before.1);
    }
}

/// Returns how long after the end of the first body the next one starts.
fn time_to_next_body(holder: &Worker, waiter: &Worker, end: &str, error: &str, round: usize) -> Duration {
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
    held.started();
    let waiting = waiter.call(&job);
    sleep(SHORT_PAUSE);
    assert!(waiting.is_pending(), "two bodies run at the same time");
    let mut start = Instant::now();
    match end {
        "drop" => held.cancel(),
        "timeout" => start = called + timeout,
        _ => held.open_gate(),
    }
    waiting.started();
    let elapsed = start.elapsed();
    assert_eq!(held.result(), Err(error.to_owned()));
    assert!(waiting.result().is_ok());
    elapsed
}

/// The call is dropped after every number of polls: before the lock is acquired, in the body, and before the publish.
#[test]
fn a_call_dropped_at_any_await_frees_its_key() {
    scope(|threads| {
        for store in Store::each() {
            threads.spawn(move || drop_at_every_await(&store));
        }
    });
}

fn drop_at_every_await(store: &Store) {
    let (dropper, next) = (
        warm(Worker::start(&store.url())),
        warm(Worker::start(&store.url())),
    );
    let before = (idle_tasks(&dropper), idle_tasks(&next));
    let bare = BareClient::start();
    let mut times = Vec::new();
    for late in [false, true] {
        for function in ["cached", "uncached", "shared"] {
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
            assert!(awaits >= 3, "too few awaits: {awaits}");
        }
    }
    let limit = FREED_WITHIN + bare.delay();
    assert_within(
        limit,
        format_args!("dropped on {}, limit {limit:?}", store.url()),
        times,
    );
    wait_idle(&dropper, before.0);
    wait_idle(&next, before.1);
}

/// Drops the call after `polls` polls. Returns whether the call returned before it was dropped.
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
            .outcome();
        let start = Instant::now();
        assert!(next.call(&job).result().is_ok());
        if outcome.is_err() {
            assert_eq!(outcome, Err("dropped".to_owned()));
            let elapsed = start.elapsed();
            if elapsed > FREED_WITHIN {
                println!("{elapsed:?} after {polls} polls of {limited:?}");
            }
            times.push(elapsed);
            ended = false;
        }
    }
    ended
}

/// Neither the holder nor other waiters are affected.
#[test]
fn a_waiter_dropped_at_any_await_affects_no_other_call() {
    for store in Store::each() {
        let (holder, waiter) = (
            warm(Worker::start(&store.url())),
            warm(Worker::start(&store.url())),
        );
        let before = (idle_tasks(&holder), idle_tasks(&waiter));
        for polls in 1..=6 {
            let job = job(&format!("{polls}"));
            let held = holder.call(&job.clone().with("body", "gate"));
            held.started();
            let dropped = waiter.call(&job.clone().with("polls", polls));
            let other = waiter.call(&job);
            sleep(SHORT_PAUSE);
            // It may be pending at an earlier await, where nothing wakes it.
            dropped.cancel();
            assert_eq!(dropped.outcome(), (0, Err("dropped".to_owned())));
            held.open_gate();
            let value = held.result();
            assert_eq!(other.outcome(), (0, value));
        }
        wait_idle(&holder, before.0);
        wait_idle(&waiter, before.1);
    }
}

#[test]
fn a_call_dropped_during_its_acquire_frees_its_key() {
    for at in [Stage::Request, Stage::Reply] {
        let fixture = Fixture::new();
        let (proxy, worker) = fixture.proxied_worker();
        let before = idle_tasks(&worker);
        let other = fixture.worker();
        let job = fixture
            .job("uncached", "key")
            .with("lease", LEASE)
            .with("block", 2 * LEASE);
        proxy.intercept("ACQUIRE", at, Action::Hold);
        let call = worker.call(&job);
        proxy.wait_matched();
        call.cancel();
        assert_eq!(call.result(), Err("dropped".to_owned()));
        let start = Instant::now();
        proxy.resume();
        other.call(&job).result().expect("the key is free");
        println!(
            "dropped during its ACQUIRE, {at:?}: free after {:.1?}",
            start.elapsed()
        );
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
        wait_idle(&worker, before);
        fixture.check();
    }
}

/// This includes a call that has lost its lease.
#[test]
fn a_call_that_has_returned_sends_no_renewals() {
    let fixture = Fixture::new();
    let (proxy, worker) = fixture.proxied_worker();
    for body in ["", "err", "panic", "sleep:5000"] {
        let job = fixture.job("uncached", body.len()).with("lease", 300);
        let ended = worker
            .call(&job.with("body", body).with("timeout", 1000))
            .result();
        assert!(ended.is_ok() == body.is_empty());
        let renewals = proxy.requests("RENEW");
        assert_eq!(
            body.starts_with("sleep"),
            renewals > 0,
            "{body}: {renewals} renewals"
        );
        sleep(Duration::from_millis(600));
        assert_eq!(proxy.requests("RENEW"), renewals, "after {body:?}");
    }
    eventually("every key to be free", || fixture.is_free().then_some(()));
}

#[test]
fn a_dropped_leader_does_not_cancel_its_followers() {
    let server = Redis::start();
    let (holder, others) = (Worker::start(&server.url()), Worker::start(&server.url()));
    let job = Job::new("cached", "key");
    let held = holder.call(&job.clone().with("body", "gate"));
    held.started();
    // Only the first caller of a process queries the store; the others follow it.
    let waiting: Vec<_> = (0..4).map(|_| others.call(&job)).collect();
    sleep(Duration::from_millis(300));
    waiting[0].cancel();
    assert_eq!(waiting[0].result(), Err("dropped".to_owned()));
    held.open_gate();
    let value = held.result();
    let start = Instant::now();
    for call in &waiting[1..] {
        assert_eq!(call.outcome(), (0, value.clone()));
    }
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}
