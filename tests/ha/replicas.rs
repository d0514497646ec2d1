//! `replicas = n`: a grant or a delete counts only after n replicas have acknowledged it.

use std::thread;
use std::time::{Duration, Instant};

use dspinlock::{Error, HashDSpinlock, Pool, StoreFailure};
use dspinlock_testkit::{Cluster, Job, Redis, Sentinels};

use crate::common::lock::locked;
use crate::common::proxied::Proxied;

fn lock(url: &str, name: &str, replicas: u32) -> HashDSpinlock {
    let pool = Pool::open(url).expect("a pool");
    HashDSpinlock::new(name)
        .pool(&pool)
        .lease(Duration::from_secs(3))
        .replicas(replicas)
}

/// The number of replicas that acknowledged, from an error that says they are too few.
fn acknowledged<T: std::fmt::Debug>(result: Result<T, Error>) -> u32 {
    match result {
        Err(Error::Store {
            reason: StoreFailure::TooFewReplicas { acknowledged, .. },
            ..
        }) => acknowledged,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_grant_with_too_few_replicas_is_aborted() {
    let master = Redis::master();
    let one = lock(&master.url(), "key", 1);
    assert_eq!(acknowledged(one.acquire_blocking()), 0);
    // The grant was aborted before its lease expired.
    let none = lock(&master.url(), "key", 0);
    let start = Instant::now();
    drop(locked(none.acquire_blocking()));
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());

    let replica = master.replica();
    let lease = locked(one.acquire_blocking());
    assert!(
        replica.get(&one.key().unwrap()).is_some(),
        "the replica does not have it"
    );
    lease.release_blocking().unwrap();
    assert_eq!(
        acknowledged(lock(&master.url(), "another", 2).acquire_blocking()),
        1
    );
}

#[test]
fn a_delete_returns_when_the_replicas_have_acknowledged() {
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
            replica.wait_synced();
            (master, replica)
        },
    ] {
        let lock = lock(&master.url(), "key", 1);
        locked(lock.acquire_blocking()).release_blocking().unwrap();
        assert!(lock.delete_state_blocking().unwrap());
        assert_eq!(
            replica.get(&lock.key().unwrap()),
            None,
            "the replica does not have it"
        );
        assert!(!lock.delete_state_blocking().unwrap());

        locked(lock.acquire_blocking()).release_blocking().unwrap();
        replica.pause();
        // The second delete finds nothing, but the replica has not yet received the first.
        assert_eq!(acknowledged(lock.delete_state_blocking()), 0);
        let another = self::lock(&master.url(), "key", 1);
        assert_eq!(acknowledged(another.delete_state_blocking()), 0);
        replica.resume();
        assert!(!lock.delete_state_blocking().unwrap());
        assert!(master.keys().is_empty(), "{:?}", master.keys());
    }
}

#[test]
fn a_call_that_waits_for_replicas_blocks_no_other() {
    let fixture = Proxied::on(Redis::master());
    let (replica, worker) = (fixture.server.replica(), fixture.worker);
    let hit = Job::new("cached", "hit");
    worker.call(&hit).result().unwrap();
    replica.pause();
    let calls: Vec<_> = (0..20)
        .map(|at| worker.call(&Job::new("replicated", &format!("{at}"))))
        .collect();
    let start = Instant::now();
    for _ in 0..20 {
        assert_eq!(worker.call(&hit).outcome().0, 0);
    }
    assert!(
        start.elapsed() < Duration::from_millis(900),
        "{:?}",
        start.elapsed()
    );
    for call in calls {
        assert_eq!(call.outcome(), (0, Err("Store".to_owned())), "a body ran");
    }
    replica.resume();
    for at in 0..20 {
        assert!(
            worker
                .call(&Job::new("replicated", &format!("{at}")))
                .result()
                .is_ok()
        );
    }
}

#[test]
fn a_replicated_grant_survives_a_failover() {
    let mut sentinels = Sentinels::start();
    let lock = lock(&sentinels.url(), "key", 1).lease(Duration::from_secs(30));
    let _lease = locked(lock.acquire_blocking());
    let old = sentinels.master().port();
    sentinels.master().kill();
    sentinels.wait_failed_over(old);
    assert!(
        sentinels.master().get(&lock.key().unwrap()).is_some(),
        "the lock was lost"
    );
}

#[test]
fn in_a_cluster_every_master_counts_its_own_replicas() {
    let cluster = Cluster::start();
    // At the same time, because each waits for replicas that do not exist.
    thread::scope(|scope| {
        for at in 0..10 {
            let url = cluster.url();
            scope.spawn(move || {
                let one = lock(&url, &format!("{at}"), 1);
                locked(one.acquire_blocking()).release_blocking().unwrap();
                assert!(one.delete_state_blocking().unwrap());
                let two = lock(&url, &format!("{at}"), 2);
                assert_eq!(acknowledged(two.acquire_blocking()), 1);
            });
        }
    });
}
