//! Redis Cluster: failed nodes and slot migrations.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use dspinlock::{Pool, RedisParameters};
use dspinlock_testkit::{Cluster, Job, Worker};

use crate::common::lock::{lock, locked};
use crate::{LEASE, SHORT_PAUSE, assert_recovered, host_port};

/// A cluster and two workers.
fn cluster() -> (Cluster, Worker, Worker) {
    let cluster = Cluster::start();
    let [one, two] = [0, 1].map(|_| Worker::start(&cluster.url()));
    (cluster, one, two)
}

/// The slot of the only key, and its owner.
fn only_slot(cluster: &Cluster) -> (usize, usize) {
    let states = cluster.keys();
    assert_eq!(states.len(), 1, "{states:?}");
    let slot = cluster.slot(&states[0]);
    (slot, cluster.owner(slot))
}

#[test]
fn parameters_lead_to_the_nodes() {
    let cluster = Cluster::start();
    let url = cluster.url();
    let hosts = url.split_once("://").expect("a URL").1.trim_end_matches('/');
    let nodes = hosts.split(',').map(host_port);
    let pool = Pool::connect(RedisParameters::new().startup_nodes(nodes)).unwrap();
    let _lease = locked(lock(&pool).acquire_blocking());
    assert_eq!(cluster.keys().len(), 1);
}

#[test]
fn every_node_serves_its_keys_to_every_caller() {
    let (cluster, one, two) = cluster();
    for function in ["cached", "cached_sync", "near", "near_sync"] {
        for at in 0..30 {
            let job = Job::new(function, &format!("{function}-{at}"));
            let value = one.call(&job).result();
            assert!(value.is_ok(), "{value:?}");
            assert_eq!(two.call(&job).outcome(), (0, value.clone()));
            assert_eq!(two.call(&job).outcome(), (0, value));
        }
    }
    for master in &cluster.servers()[..3] {
        assert!(master.keys().len() > 20, "a master has too few keys");
    }
}

#[test]
fn pushes_wake_waiters_and_invalidate_near_values() {
    let (_cluster, one, two) = cluster();
    for at in 0..6 {
        let job = Job::new("near", &format!("{at}")).with("sleep", 30_000);
        let held = one.call(&job.clone().with("body", "gate").with("value", "old"));
        held.started();
        let waiting = two.call(&job);
        sleep(SHORT_PAUSE);
        held.open_gate();
        held.result().unwrap();
        let start = Instant::now();
        assert_eq!(waiting.outcome(), (0, Ok("old".to_owned())));
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        for _ in 0..2 {
            assert_eq!(two.call(&job).outcome(), (0, Ok("old".to_owned())));
        }
        one.call(&Job::new("delete_near", &format!("{at}")))
            .result()
            .unwrap();
        let job = job.with("value", "new");
        let start = Instant::now();
        while two.call(&job).result().as_deref() != Ok("new") {
            assert!(start.elapsed() < SHORT_PAUSE, "the near-cache value was kept");
        }
    }
}

#[test]
fn a_killed_node_is_replaced_within_the_failover_and_a_lease() {
    let (mut cluster, mut holder, other) = cluster();
    let job = Job::new("cached", "key").with("lease", LEASE.as_millis());
    let idle = Worker::start(&cluster.url());
    idle.call(&Job::new("delete_near", "key")).result().unwrap();
    let held = holder.call(&job.clone().with("body", "gate"));
    held.started();
    let (slot, owner) = only_slot(&cluster);
    let waiting = other.call(&job);
    sleep(SHORT_PAUSE);
    let start = Instant::now();
    cluster.kill(owner);
    drop(held);
    holder.kill();
    let failover = cluster.wait_failed_over(slot, owner);
    waiting.started();
    assert_recovered("a killed node", start.elapsed(), failover);
    let value = waiting.result();
    assert!(value.is_ok());
    // This worker made no call during the failover and learns the new master from its next call.
    assert_eq!(idle.call(&job).outcome(), (0, value));
    for at in 0..20 {
        assert!(
            other
                .call(&Job::new("cached_sync", &format!("{at}")))
                .result()
                .is_ok()
        );
    }
}

#[test]
fn a_stopped_node_is_abandoned_after_the_failover() {
    let (mut cluster, holder, other) = cluster();
    let job = Job::new("near", "key").with("lease", LEASE.as_millis());
    let value = holder.call(&job.clone().with("value", "old")).result();
    for _ in 0..2 {
        assert_eq!(other.call(&job).outcome(), (0, value.clone()));
    }
    let (slot, owner) = only_slot(&cluster);
    let start = Instant::now();
    cluster.pause(owner);
    // It has no near-cache value, so it queries the node.
    let call = holder.call(&Job::new("near", "key"));
    let failover = cluster.wait_failed_over(slot, owner);
    let result = call.result();
    assert_recovered("a stopped node", start.elapsed(), failover);
    assert!(result.is_ok(), "{result:?}");
    // A stopped node sends no pushes, so its near-cache values must be dropped.
    let now = cluster.owner(slot);
    cluster.servers()[now].raw(&["FLUSHALL"]);
    sleep(Duration::from_secs(6));
    assert_eq!(
        other.call(&job.with("value", "new")).result().as_deref(),
        Ok("new")
    );
}

#[test]
fn a_grant_survives_a_slot_migration_but_not_a_failover() {
    let (cluster, holder, other) = cluster();
    let job = Job::new("cached", "key").with("value", "old");
    let held = holder.call(&job.clone().with("body", "gate"));
    held.started();
    let (slot, from) = only_slot(&cluster);
    let to = (from + 1) % 3;
    cluster.start_migration(slot, from, to);
    cluster.migrate_keys(slot, from, to);
    cluster.finish_migration(slot, from, to);
    held.open_gate();
    assert_eq!(held.result().as_deref(), Ok("old"));
    assert_eq!(
        other.call(&job).outcome(),
        (0, Ok("old".to_owned())),
        "the grant did not migrate with its slot"
    );

    let job = Job::new("cached", "other").with("value", "old");
    let held = holder.call(&job.clone().with("body", "gate"));
    held.started();
    // Its key keeps no result, so its release cannot replace a newer one.
    let lock = Job::new("uncached", "lock");
    let locked = holder.call(&lock.clone().with("body", "gate").with("value", "old"));
    locked.started();
    cluster.fail_over(from);
    cluster.fail_over(to);
    cluster.fail_over((from + 2) % 3);
    held.open_gate();
    assert_eq!(
        held.result().as_deref(),
        Ok("old"),
        "the caller does not get its own value"
    );
    let logs = holder.logs();
    assert!(
        logs.iter().any(|line| line.contains("lease was lost")),
        "{logs:?}"
    );
    let (bodies, value) = other.call(&job.with("value", "new")).outcome();
    assert_eq!((bodies, value.as_deref()), (1, Ok("new")));

    locked.open_gate();
    assert_eq!(locked.result().as_deref(), Ok("old"));
    let (bodies, value) = other.call(&lock.with("tries", 1)).outcome();
    assert_eq!(
        (bodies, value.is_ok()),
        (1, true),
        "the lock is not free: {value:?}"
    );
}

#[test]
fn slot_migrations_cause_no_error() {
    let (cluster, one, two) = cluster();
    let job = Job::new("cached", "key");
    let held = one.call(&job.clone().with("body", "gate"));
    held.started();
    let (slot, mut from) = only_slot(&cluster);
    let waiting = two.call(&job);
    let hits = Job::new("near_sync", "hit");
    let value = one.call(&hits).result();
    let state = cluster
        .keys()
        .into_iter()
        .find(|state| cluster.slot(state) != slot);
    let other_slot = cluster.slot(&state.expect("the state of the hits"));
    let stop = AtomicBool::new(false);
    let counted = scope(|threads| {
        let callers: Vec<_> = [&one, &two]
            .into_iter()
            .flat_map(|worker| {
                ["near_sync", "cached", "cached_sync", "uncached"].map(|function| (worker, function))
            })
            .map(|(worker, function)| {
                let (stop, value) = (&stop, &value);
                threads.spawn(move || {
                    let mut calls = 0;
                    while !stop.load(Ordering::Relaxed) {
                        match function {
                            "near_sync" => {
                                assert_eq!(&worker.call(&Job::new(function, "hit")).result(), value)
                            }
                            _ => {
                                let job = Job::new(function, "other").with("sleep", 100);
                                let end = worker.call(&job).result();
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
                cluster.start_migration(slot, from, to);
                sleep(Duration::from_millis(50));
                cluster.migrate_keys(slot, from, to);
                sleep(Duration::from_millis(50));
                cluster.finish_migration(slot, from, to);
            }
            from = cluster.owner(slot);
        }
        stop.store(true, Ordering::Relaxed);
        callers
            .into_iter()
            .map(|caller| caller.join().expect("no caller panicked"))
            .sum::<usize>()
    });
    println!("{counted} calls during migrations to {from}");
    assert!(counted > 100);
    held.open_gate();
    let value = held.result();
    assert_eq!(
        waiting.outcome(),
        (0, value.clone()),
        "the waiter did not get the result after six migrations: {:?} {:?}",
        one.logs(),
        two.logs()
    );
    assert_eq!(two.call(&job).outcome(), (0, value));
}

#[test]
fn lost_connections_cause_no_error_for_waiters() {
    let (cluster, one, two) = cluster();
    let job = Job::new("cached", "key").with("sleep", 200);
    for round in 0..20 {
        let job = Job::new("cached", &format!("{round}")).with("sleep", 200);
        let held = one.call(&job.clone().with("body", "gate"));
        held.started();
        let waiting = two.call(&job);
        // An interrupted login is an error. A waiting call has logged in already.
        sleep(SHORT_PAUSE);
        cluster.disconnect();
        held.open_gate();
        let value = held.result();
        assert!(value.is_ok(), "{round}: {value:?}");
        assert_eq!(waiting.outcome(), (0, value), "{round}");
    }
    assert!(two.call(&job).result().is_ok());
}
