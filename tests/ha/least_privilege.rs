//! The smallest user where there are several servers: what SECURITY.md says it needs besides is enough.

use dspinlock::{Acquired, HashDSpinlock, Pool};
use dspinlock_testkit::{Cluster, Job, Redis, Sentinels, Worker};

fn with_user(url: &str) -> String {
    url.replacen("://", "://app:any@", 1)
}

fn nothing_was_refused(servers: &[Redis]) {
    for server in servers {
        assert_eq!(server.refusals(), "array([])");
    }
}

/// A cold call, a hit, a near hit and one without a cache.
fn calls(worker: &Worker, key: &str) {
    for (function, bodies) in [("cached", 0), ("near", 0), ("shared", 0), ("each", 1)] {
        let job = Job::new(function, key);
        let (first, value) = worker.call(&job).story();
        assert_eq!((first, value.is_ok()), (1, true), "{function}: {value:?}");
        assert_eq!(worker.call(&job).story().0, bodies, "{function}");
    }
}

#[test]
fn of_a_cluster_whose_slots_move() {
    let cluster = Cluster::start();
    for server in cluster.servers() {
        server.for_the_smallest_user(&["+cluster|slots", "+asking"]);
    }
    let worker = Worker::start(&with_user(&cluster.url()));
    calls(&worker, "key");
    for state in cluster.states() {
        let slot = cluster.slot(&state);
        let from = cluster.owner(slot);
        cluster.begin_to_move(slot, from, (from + 1) % 3);
    }
    // Some entries are gone to the next server, by way of which they are asked for now.
    for state in cluster.states() {
        let slot = cluster.slot(&state);
        let from = cluster.owner(slot);
        cluster.move_keys(slot, from, (from + 1) % 3);
    }
    for function in ["cached", "shared"] {
        assert_eq!(worker.call(&Job::new(function, "key")).story().0, 0, "{function}");
    }
    let job = Job::new("each", "key").with("sleep", 100);
    assert_eq!(worker.call(&job).story().0, 1);
    nothing_was_refused(cluster.servers());
}

#[test]
fn of_a_master_that_sentinels_name() {
    let mut sentinels = Sentinels::start();
    for server in sentinels.servers() {
        server.for_the_smallest_user(&["+role"]);
    }
    let worker = Worker::start(&with_user(&sentinels.url()));
    calls(&worker, "key");
    sentinels.master().replicated();
    nothing_was_refused(sentinels.servers());
}

#[test]
fn of_a_master_whose_replicas_must_hear() {
    let master = Redis::master();
    let _replica = master.replica();
    master.for_the_smallest_user(&["+wait"]);
    let pool = Pool::open(&with_user(&master.url())).expect("a pool");
    let lock = HashDSpinlock::new("key").expect("a name is a key");
    let lock = lock.pool(&pool).replicas(1);
    let Acquired::Locked(lease) = lock.acquire_blocking().expect("a replica hears") else {
        panic!("nothing is cached");
    };
    lease.release_blocking().expect("a lease of ours");
    assert!(lock.delete_state_blocking().expect("a replica hears"));
    nothing_was_refused(&[master]);
}
