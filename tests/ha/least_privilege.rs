//! The ACL rules of SECURITY.md for Cluster, Sentinel and replicas are sufficient.

use dspinlock::Pool;
use dspinlock_testkit::{Cluster, Job, Redis, Sentinels, Worker};

use crate::common::lock::{lock, locked};

fn with_user(url: &str) -> String {
    url.replacen("://", "://app:any@", 1)
}

fn assert_nothing_denied(servers: &[Redis]) {
    for server in servers {
        assert_eq!(server.acl_log(), "array([])");
    }
}

/// Makes a cold call, a hit, a near-cache hit and an uncached call.
fn calls(worker: &Worker, key: &str) {
    for (function, bodies) in [("cached", 0), ("near", 0), ("shared", 0), ("uncached", 1)] {
        let job = Job::new(function, key);
        let (first, value) = worker.call(&job).outcome();
        assert_eq!((first, value.is_ok()), (1, true), "{function}: {value:?}");
        assert_eq!(worker.call(&job).outcome().0, bodies, "{function}");
    }
}

#[test]
fn the_cluster_rule_suffices_during_a_migration() {
    let cluster = Cluster::start();
    for server in cluster.servers() {
        server.restrict_to_least_privilege(&["+cluster|slots", "+asking"]);
    }
    let worker = Worker::start(&with_user(&cluster.url()));
    calls(&worker, "key");
    for state in cluster.keys() {
        let slot = cluster.slot(&state);
        let from = cluster.owner(slot);
        cluster.start_migration(slot, from, (from + 1) % 3);
    }
    // Some entries are on the target now, so that calls are redirected.
    for state in cluster.keys() {
        let slot = cluster.slot(&state);
        let from = cluster.owner(slot);
        cluster.migrate_keys(slot, from, (from + 1) % 3);
    }
    for function in ["cached", "shared"] {
        assert_eq!(
            worker.call(&Job::new(function, "key")).outcome().0,
            0,
            "{function}"
        );
    }
    let job = Job::new("uncached", "key").with("sleep", 100);
    assert_eq!(worker.call(&job).outcome().0, 1);
    assert_nothing_denied(cluster.servers());
}

#[test]
fn the_sentinel_rule_suffices() {
    let mut sentinels = Sentinels::start();
    for server in sentinels.servers() {
        server.restrict_to_least_privilege(&["+role"]);
    }
    let worker = Worker::start(&with_user(&sentinels.url()));
    calls(&worker, "key");
    sentinels.master().wait_replicated();
    assert_nothing_denied(sentinels.servers());
}

#[test]
fn the_replicas_rule_suffices() {
    let master = Redis::master();
    let _replica = master.replica();
    master.restrict_to_least_privilege(&["+wait"]);
    let pool = Pool::open(&with_user(&master.url())).expect("a pool");
    let lock = lock(&pool).replicas(1);
    let lease = locked(lock.acquire_blocking());
    lease.release_blocking().expect("the lease is held");
    assert!(lock.delete_state_blocking().expect("a replica acknowledges"));
    assert_nothing_denied(&[master]);
}
