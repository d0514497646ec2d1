//! `replicas = n`: what so many replicas have not heard of does not count.

use std::time::{Duration, Instant};

use dspinlock::{Acquired, Error, HashDSpinlock, Pool, StoreFailure};
use dspinlock_testkit::{Cluster, Job, Proxy, Redis, Sentinels, Worker};

fn lock(url: &str, name: &str, replicas: u32) -> HashDSpinlock {
    let pool = Pool::open(url).expect("a pool");
    HashDSpinlock::new(name)
        .expect("a name is a key")
        .pool(&pool)
        .lease(Duration::from_secs(3))
        .replicas(replicas)
}

/// How many replicas acknowledged, where that was too few.
fn acknowledged<T: std::fmt::Debug>(answer: Result<T, Error>) -> u32 {
    match answer {
        Err(Error::Store {
            reason: StoreFailure::TooFewReplicas { acknowledged, .. },
            ..
        }) => acknowledged,
        other => panic!("{other:?}"),
    }
}

fn held(lock: &HashDSpinlock) -> dspinlock::Lease {
    match lock.acquire_blocking() {
        Ok(Acquired::Locked(lease)) => lease,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_grant_that_too_few_replicas_heard_of_is_given_up() {
    let master = Redis::master();
    let one = lock(&master.url(), "key", 1);
    assert_eq!(acknowledged(one.acquire_blocking()), 0);
    // Given up, and not only after its lease.
    let none = lock(&master.url(), "key", 0);
    let start = Instant::now();
    drop(held(&none));
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());

    let replica = master.replica();
    let lease = held(&one);
    assert!(replica.get(&one.key()).is_some(), "the replica has heard of it");
    lease.release_blocking().unwrap();
    assert_eq!(
        acknowledged(lock(&master.url(), "another", 2).acquire_blocking()),
        1
    );
}

#[test]
fn a_delete_is_done_when_the_replicas_have_heard_of_it() {
    for (master, replica) in [
        {
            let master = Redis::master();
            let replica = master.replica();
            (master, replica)
        },
        {
            let master = Redis::valkey();
            let replica = Redis::valkey();
            let port = master.port().to_string();
            master.raw(&["CONFIG", "SET", "repl-diskless-sync-delay", "0"]);
            replica.raw(&["REPLICAOF", "127.0.0.1", &port]);
            replica.catch_up();
            (master, replica)
        },
    ] {
        let lock = lock(&master.url(), "key", 1);
        held(&lock).release_blocking().unwrap();
        assert!(lock.delete_state_blocking().unwrap());
        assert_eq!(replica.get(&lock.key()), None, "the replica has heard of it");
        assert!(!lock.delete_state_blocking().unwrap());

        held(&lock).release_blocking().unwrap();
        replica.pause();
        // The second finds nothing to delete, but the first is still unknown to the replica.
        assert_eq!(acknowledged(lock.delete_state_blocking()), 0);
        let another = self::lock(&master.url(), "key", 1);
        assert_eq!(acknowledged(another.delete_state_blocking()), 0);
        replica.resume();
        assert!(!lock.delete_state_blocking().unwrap());
        assert!(master.keys().is_empty(), "{:?}", master.keys());
    }
}

#[test]
fn who_waits_for_replicas_keeps_nobody_else() {
    let master = Redis::master();
    let replica = master.replica();
    let proxy = Proxy::before(master.port());
    let worker = Worker::start(&proxy.url());
    let hit = Job::new("cached", "hit");
    worker.call(&hit).end().unwrap();
    replica.pause();
    let calls: Vec<_> = (0..20)
        .map(|at| worker.call(&Job::new("replicated", &format!("{at}"))))
        .collect();
    let start = Instant::now();
    for _ in 0..20 {
        assert_eq!(worker.call(&hit).story().0, 0);
    }
    assert!(
        start.elapsed() < Duration::from_millis(900),
        "{:?}",
        start.elapsed()
    );
    for call in calls {
        assert_eq!(call.story(), (0, Err("Store".to_owned())), "no body runs");
    }
    replica.resume();
    for at in 0..20 {
        assert!(
            worker
                .call(&Job::new("replicated", &format!("{at}")))
                .end()
                .is_ok()
        );
    }
}

#[test]
fn a_grant_that_a_replica_heard_of_outlives_the_master() {
    let mut sentinels = Sentinels::start();
    let lock = lock(&sentinels.url(), "key", 1).lease(Duration::from_secs(30));
    let _held = held(&lock);
    let old = sentinels.master().port();
    sentinels.master().kill();
    sentinels.failed_over(old);
    assert!(sentinels.master().get(&lock.key()).is_some(), "still locked");
}

#[test]
fn in_a_cluster_each_master_has_its_own_replicas() {
    let cluster = Cluster::start();
    for at in 0..10 {
        let one = lock(&cluster.url(), &format!("{at}"), 1);
        held(&one).release_blocking().unwrap();
        assert!(one.delete_state_blocking().unwrap());
        assert_eq!(
            acknowledged(lock(&cluster.url(), &format!("{at}"), 2).acquire_blocking()),
            1
        );
    }
}
