//! kill -9 of a holder.

use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use dspinlock_testkit::{At, Call, Fate, History, Job, Journal, Worker, eventually};

use crate::common::store::Store;
use crate::fixture::{Scene, warm};

const LEASE: u64 = 1000;
const SOON: Duration = Duration::from_millis(LEASE + 500);

/// Each step of a call, before the server has taken it and before the caller learns of it.
#[test]
fn killed_at_any_step_the_next_body_starts_within_the_lease_and_half_a_second() {
    let scene = Scene::new();
    let all = [
        ("GETRANGE", "", 1),
        ("ACQUIRE", "", 1),
        ("RENEW", "gate", 1),
        ("PUBLISH", "", 0),
        ("ABORT", "err", 1),
    ];
    let killed = scope(|threads| {
        let start = |(step, body, bodies), at| {
            let scene = &scene;
            threads.spawn(move || {
                // Not yet published, it has to be computed.
                let bodies = if at == At::Request { 1 } else { bodies };
                killed_at(scene, step, at, body, bodies)
            })
        };
        let runs: Vec<_> = all
            .into_iter()
            .flat_map(|step| [At::Request, At::Reply].map(|at| start(step, at)))
            .collect();
        runs.into_iter()
            .map(|run| run.join().expect("no run failed"))
            .collect::<Vec<u32>>()
    });
    scene.check_but(&killed, &[]).check_exclusion();
}

fn killed_at(scene: &Scene, step: &str, at: At, body: &str, bodies: usize) -> u32 {
    let (proxy, mut holder) = scene.behind_a_proxy();
    let next = scene.worker();
    let job = scene
        .job("cached", format_args!("{step}-{at:?}"))
        .with("lease", LEASE);
    proxy.on(step, at, Fate::Hold);
    let held = holder.call(&job.clone().with("body", body));
    proxy.met();
    drop(held);
    let killed = holder.id();
    let start = Instant::now();
    holder.kill();
    // What was kept back is gone with it.
    proxy.cut();
    let call = next.call(&job);
    let (ran, outcome) = call.story();
    let took = start.elapsed();
    println!("killed at {step}, {at:?}: {ran} bodies after {took:.1?}");
    assert_eq!(ran, bodies, "{step} {at:?}");
    assert!(
        outcome.is_ok() && took <= SOON,
        "{step} {at:?}: {took:?}, {outcome:?}"
    );
    killed
}

#[test]
fn killed_after_its_publish_a_holder_leaves_a_hit() {
    for store in Store::each() {
        let (mut holder, next) = (Worker::start(&store.url()), Worker::start(&store.url()));
        let job = Job::new("cached", "key");
        let value = holder.call(&job).end();
        holder.kill();
        assert_eq!(next.call(&job).story(), (0, value));
    }
}

#[test]
fn killed_in_its_body_after_renewals_the_next_body_starts_when_the_lease_is_over() {
    for store in Store::each() {
        let (mut holder, waiter) = (
            warm(Worker::start(&store.url())),
            warm(Worker::start(&store.url())),
        );
        let job = Job::new("cached", "key").with("lease", LEASE);
        let held = holder.call(&job.clone().with("body", "gate"));
        let first = held.began();
        let waiting = waiter.call(&job);
        // Long enough for the lease to have been renewed.
        sleep(Duration::from_millis(LEASE + 500));
        assert!(waiting.is_quiet(), "the lease was not kept");
        drop(held);
        let start = Instant::now();
        holder.kill();
        let second = waiting.began();
        let took = start.elapsed();
        println!(
            "killed in its body on {}: the next body after {took:.1?}",
            store.url()
        );
        assert!(took <= SOON, "{took:?}");
        assert!(second > first, "fences grow");
    }
}

#[test]
fn whoever_is_killed_bodies_stay_apart_and_fences_grow() {
    for store in Store::each() {
        let folder = tempfile::tempdir().expect("a folder");
        let journal = Journal::within(folder.path());
        let mut workers = Worker::several(3, &store.url());
        let job = Job::new("each", "key")
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
            assert!(workers[victim].call(&job).end().is_ok(), "the key is free again");
        }
        let history = eventually("every caller's end", || {
            let history = History::of(&journal).killed(&killed);
            history.is_complete().then_some(history)
        });
        history.check();
        history.check_exclusion();
    }
}
