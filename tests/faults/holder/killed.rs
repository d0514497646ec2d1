//! Holders that are killed (SIGKILL).

use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use dspinlock_testkit::{Action, Call, History, Job, Journal, Stage, Worker, eventually};

use crate::common::store::Store;
use crate::fixture::{Fixture, warm};

const LEASE: u64 = 1000;
const NEXT_BODY_WITHIN: Duration = Duration::from_millis(LEASE + 500);

/// At each step of a call, before the server receives it and before the caller receives the reply.
#[test]
fn a_holder_killed_at_any_step_blocks_the_key_for_its_lease_at_most() {
    let fixture = Fixture::new();
    let all = [
        ("GETRANGE", "", 1),
        ("ACQUIRE", "", 1),
        ("RENEW", "gate", 1),
        ("PUBLISH", "", 0),
        ("ABORT", "err", 1),
    ];
    let killed = scope(|threads| {
        let start = |(step, body, bodies), at| {
            let fixture = &fixture;
            threads.spawn(move || {
                // The value was not published, so the next call computes it.
                let bodies = if at == Stage::Request { 1 } else { bodies };
                killed_at(fixture, step, at, body, bodies)
            })
        };
        let runs: Vec<_> = all
            .into_iter()
            .flat_map(|step| [Stage::Request, Stage::Reply].map(|at| start(step, at)))
            .collect();
        runs.into_iter()
            .map(|run| run.join().expect("no run panicked"))
            .collect::<Vec<u32>>()
    });
    fixture.check_except(&killed, &[]).check_exclusion();
}

fn killed_at(fixture: &Fixture, step: &str, at: Stage, body: &str, bodies: usize) -> u32 {
    let (proxy, mut holder) = fixture.proxied_worker();
    let next = fixture.worker();
    let job = fixture
        .job("cached", format_args!("{step}-{at:?}"))
        .with("lease", LEASE);
    proxy.intercept(step, at, Action::Hold);
    let held = holder.call(&job.clone().with("body", body));
    proxy.wait_matched();
    drop(held);
    let killed = holder.id();
    let start = Instant::now();
    holder.kill();
    // The held step is lost with its connection.
    proxy.disconnect();
    let call = next.call(&job);
    let (ran, outcome) = call.outcome();
    let elapsed = start.elapsed();
    println!("killed at {step}, {at:?}: {ran} bodies after {elapsed:.1?}");
    assert_eq!(ran, bodies, "{step} {at:?}");
    assert!(
        outcome.is_ok() && elapsed <= NEXT_BODY_WITHIN,
        "{step} {at:?}: {elapsed:?}, {outcome:?}"
    );
    killed
}

#[test]
fn a_holder_killed_after_its_publish_leaves_a_hit() {
    Store::on_each(|store| {
        let (mut holder, next) = (Worker::start(&store.url()), Worker::start(&store.url()));
        let job = Job::new("cached", "key");
        let value = holder.call(&job).result();
        holder.kill();
        assert_eq!(next.call(&job).outcome(), (0, value));
    });
}

#[test]
fn a_holder_killed_after_renewals_blocks_the_key_for_its_lease_at_most() {
    Store::on_each(|store| {
        let (mut holder, waiter) = (
            warm(Worker::start(&store.url())),
            warm(Worker::start(&store.url())),
        );
        let job = Job::new("cached", "key").with("lease", LEASE);
        let held = holder.call(&job.clone().with("body", "gate"));
        let first = held.started();
        let waiting = waiter.call(&job);
        // Long enough for a renewal.
        sleep(Duration::from_millis(LEASE + 500));
        assert!(waiting.is_pending(), "the lease was not renewed");
        drop(held);
        let start = Instant::now();
        holder.kill();
        let second = waiting.started();
        let elapsed = start.elapsed();
        println!(
            "killed in its body on {}: the next body after {elapsed:.1?}",
            store.url()
        );
        assert!(elapsed <= NEXT_BODY_WITHIN, "{elapsed:?}");
        assert!(second > first, "fences grow");
    });
}

#[test]
fn bodies_never_overlap_while_holders_are_killed() {
    Store::on_each(|store| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let journal = Journal::in_folder(folder.path());
        let mut workers = Worker::start_many(3, &store.url());
        let job = Job::new("uncached", "key")
            .with("lease", 1000)
            .with("sleep", 20)
            .with("journal", journal.path().display());
        let mut killed = Vec::new();
        for round in 0..6 {
            let victim = round % workers.len();
            let work = job.clone().with("body", "sleep:20");
            let calls: Vec<Call<'_>> = (0..4)
                .flat_map(|_| workers.iter().map(|worker| worker.call(&work)))
                .collect();
            sleep(Duration::from_millis(40));
            drop(calls);
            killed.push(workers[victim].id());
            workers[victim].kill();
            workers[victim] = Worker::start(&store.url());
            assert!(workers[victim].call(&job).result().is_ok(), "the key is not free");
        }
        let history = eventually("every call to return", || {
            let history = History::of(&journal).killed(&killed);
            history.is_complete().then_some(history)
        });
        history.check();
        history.check_exclusion();
    });
}

#[test]
fn among_200_000_keys_a_lease_expires_in_time() {
    let fixture = Fixture::new();
    let fill = "for i = 1, 200000 do redis.call('SET', 'other:' .. i, i, 'PX', 600000 + i) end";
    fixture.server.raw(&["EVAL", fill, "0"]);
    let lease = Duration::from_millis(1500);
    let (mut holder, waiter) = (fixture.worker(), fixture.worker());
    let job = fixture
        .job("cached", "key")
        .with("lease", lease.as_millis())
        .with("sleep", 10_000);
    let held = holder.call(&job.clone().with("body", "gate"));
    held.started();
    let waiting = waiter.call(&job);
    sleep(Duration::from_millis(200));
    drop(held);
    let start = Instant::now();
    holder.kill();
    waiting.started();
    let elapsed = start.elapsed();
    println!("among 200,000 keys: the next body {elapsed:.1?} after kill -9");
    assert!(elapsed <= lease + Duration::from_millis(300), "{elapsed:?}");
    assert!(waiting.result().is_ok());
}
