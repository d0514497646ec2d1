//! Redis Cluster: nodes that fail, slots that move.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use dspinlock_testkit::{Cluster, Job, Worker};

use crate::{A_WHILE, LEASE, recovery};

/// A cluster, and two workers.
fn cluster() -> (Cluster, Worker, Worker) {
    let cluster = Cluster::start();
    let [one, two] = [0, 1].map(|_| Worker::start(&cluster.url()));
    (cluster, one, two)
}

/// The slot of the only key there is, and its owner.
fn place(cluster: &Cluster) -> (usize, usize) {
    let states = cluster.states();
    assert_eq!(states.len(), 1, "{states:?}");
    let slot = cluster.slot(&states[0]);
    (slot, cluster.owner(slot))
}

#[test]
fn keys_are_served_by_all_nodes_to_every_caller() {
    let (cluster, one, two) = cluster();
    for function in ["cached", "cached_sync", "shared", "near", "near_shared"] {
        for at in 0..30 {
            let job = Job::new(function, &format!("{function}-{at}"));
            let value = one.call(&job).end();
            assert!(value.is_ok(), "{value:?}");
            assert_eq!(two.call(&job).story(), (0, value.clone()));
            assert_eq!(two.call(&job).story(), (0, value));
        }
    }
    for master in &cluster.servers()[..3] {
        assert!(master.keys().len() > 50, "each serves its share");
    }
}

#[test]
fn a_waiter_is_woken_and_a_near_copy_dropped() {
    let (_cluster, one, two) = cluster();
    for at in 0..6 {
        let job = Job::new("near_shared", &format!("{at}")).with("sleep", 30_000);
        let held = one.call(&job.clone().with("body", "gate").with("value", "old"));
        held.began();
        let waiting = two.call(&job);
        sleep(A_WHILE);
        held.go();
        held.end().unwrap();
        let start = Instant::now();
        assert_eq!(waiting.story(), (0, Ok("old".to_owned())));
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        for _ in 0..2 {
            assert_eq!(two.call(&job).story(), (0, Ok("old".to_owned())));
        }
        one.call(&Job::new("forget", &format!("{at}"))).end().unwrap();
        sleep(A_WHILE);
        assert_eq!(two.call(&job.with("value", "new")).end().as_deref(), Ok("new"));
    }
}

#[test]
fn a_node_that_is_killed_is_replaced_within_the_failover_and_a_lease() {
    let (mut cluster, mut holder, other) = cluster();
    let job = Job::new("cached", "key").with("lease", LEASE.as_millis());
    let idle = Worker::start(&cluster.url());
    idle.call(&Job::new("forget", "key")).end().unwrap();
    let held = holder.call(&job.clone().with("body", "gate"));
    held.began();
    let (slot, owner) = place(&cluster);
    let waiting = other.call(&job);
    sleep(A_WHILE);
    let start = Instant::now();
    cluster.kill(owner);
    drop(held);
    holder.kill();
    let failover = cluster.failed_over(slot, owner);
    waiting.began();
    recovery("a killed node", start.elapsed(), failover);
    let value = waiting.end();
    assert!(value.is_ok());
    // Who was not told of the failover, and has only the dead node's word, learns of it by the call.
    assert_eq!(idle.call(&job).story(), (0, value));
    for at in 0..20 {
        assert!(
            other
                .call(&Job::new("cached_sync", &format!("{at}")))
                .end()
                .is_ok()
        );
    }
}

#[test]
fn a_node_that_is_stopped_is_left_when_another_has_its_slots() {
    let (mut cluster, holder, other) = cluster();
    let job = Job::new("near", "key").with("lease", LEASE.as_millis());
    let value = holder.call(&job.clone().with("value", "old")).end();
    for _ in 0..2 {
        assert_eq!(other.call(&job).story(), (0, value.clone()));
    }
    let (slot, owner) = place(&cluster);
    let start = Instant::now();
    cluster.pause(owner);
    // It has no copy of its own, and asks.
    let call = holder.call(&Job::new("near", "key"));
    let failover = cluster.failed_over(slot, owner);
    let ended = call.end();
    recovery("a stopped node", start.elapsed(), failover);
    assert!(ended.is_ok(), "{ended:?}");
    // What a stopped node cannot announce must not be kept either.
    let now = cluster.owner(slot);
    cluster.servers()[now].raw(&["FLUSHALL"]);
    sleep(Duration::from_secs(6));
    assert_eq!(other.call(&job.with("value", "new")).end().as_deref(), Ok("new"));
}

#[test]
fn a_publish_whose_grant_another_master_made_is_lost_and_one_whose_slot_moved_is_kept() {
    let (cluster, holder, other) = cluster();
    let job = Job::new("cached", "key").with("value", "old");
    let held = holder.call(&job.clone().with("body", "gate"));
    held.began();
    let (slot, from) = place(&cluster);
    let to = (from + 1) % 3;
    cluster.begin_to_move(slot, from, to);
    cluster.move_keys(slot, from, to);
    cluster.end_move(slot, from, to);
    held.go();
    assert_eq!(held.end().as_deref(), Ok("old"));
    assert_eq!(
        other.call(&job).story(),
        (0, Ok("old".to_owned())),
        "it moved with its slot"
    );

    let job = Job::new("each", "key").with("value", "old");
    let held = holder.call(&job.clone().with("body", "gate"));
    held.began();
    cluster.hand_over(from);
    cluster.hand_over(to);
    cluster.hand_over((from + 2) % 3);
    held.go();
    assert_eq!(held.end().as_deref(), Ok("old"), "a caller gets its own value");
    let logs = holder.logs();
    assert!(logs.iter().any(|line| line.contains("was lost")), "{logs:?}");
}

#[test]
fn slots_that_move_cost_no_caller_an_error() {
    let (cluster, one, two) = cluster();
    let job = Job::new("cached", "key");
    let held = one.call(&job.clone().with("body", "gate"));
    held.began();
    let (slot, mut from) = place(&cluster);
    let waiting = two.call(&job);
    let hits = Job::new("shared", "hit");
    let value = one.call(&hits).end();
    let state = cluster
        .states()
        .into_iter()
        .find(|state| cluster.slot(state) != slot);
    let other_slot = cluster.slot(&state.expect("that of the hits"));
    let ended = AtomicBool::new(false);
    let counted = scope(|threads| {
        let callers: Vec<_> = [&one, &two]
            .into_iter()
            .flat_map(|worker| ["shared", "cached", "cached_sync", "each"].map(|function| (worker, function)))
            .map(|(worker, function)| {
                let (ended, value) = (&ended, &value);
                threads.spawn(move || {
                    let mut calls = 0;
                    while !ended.load(Ordering::Relaxed) {
                        match function {
                            "shared" => assert_eq!(&worker.call(&Job::new(function, "hit")).end(), value),
                            _ => {
                                let job = Job::new(function, "other").with("sleep", 100);
                                let end = worker.call(&job).end();
                                assert!(end.is_ok(), "{function}: {end:?}");
                            }
                        }
                        calls += 1;
                    }
                    calls
                })
            })
            .collect();
        for _ in 0..6 {
            for slot in [slot, other_slot] {
                let from = cluster.owner(slot);
                let to = (from + 1) % 3;
                cluster.begin_to_move(slot, from, to);
                sleep(Duration::from_millis(50));
                cluster.move_keys(slot, from, to);
                sleep(Duration::from_millis(50));
                cluster.end_move(slot, from, to);
            }
            from = cluster.owner(slot);
        }
        ended.store(true, Ordering::Relaxed);
        callers
            .into_iter()
            .map(|caller| caller.join().expect("no error"))
            .sum::<usize>()
    });
    println!("{counted} calls while slots moved to {from}");
    assert!(counted > 100);
    held.go();
    let value = held.end();
    assert_eq!(
        waiting.story(),
        (0, value.clone()),
        "a waiter, and a grant that moved six times"
    );
    assert_eq!(two.call(&job).story(), (0, value));
}

#[test]
fn every_connection_killed_twenty_times() {
    let (cluster, one, two) = cluster();
    let job = Job::new("cached", "key").with("sleep", 200);
    for round in 0..20 {
        let job = Job::new("cached", &format!("{round}")).with("sleep", 200);
        let held = one.call(&job.clone().with("body", "gate"));
        held.began();
        let waiting = two.call(&job);
        // A login that is cut short is an error; a caller that waits already is past it.
        sleep(A_WHILE);
        cluster.cut();
        held.go();
        let value = held.end();
        assert!(value.is_ok(), "{round}: {value:?}");
        assert_eq!(waiting.story(), (0, value), "{round}");
    }
    assert!(two.call(&job).end().is_ok());
}
