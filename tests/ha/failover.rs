//! A failover that a client is not told of: the address stays, and another server answers there.

use std::thread::sleep;
use std::time::Duration;

use dspinlock_testkit::{Job, Proxy, Redis, Worker};

/// A connection that is younger has seen the role change already.
const A_WHILE: Duration = Duration::from_millis(600);

/// A master behind a proxy, and a worker that is connected already.
fn behind_a_proxy() -> (Redis, Proxy, Worker) {
    let master = Redis::master();
    let proxy = Proxy::before(master.port());
    let worker = Worker::start(&proxy.url());
    worker.call(&Job::new("cached", "first")).end().unwrap();
    (master, proxy, worker)
}

#[test]
fn a_publish_whose_grant_was_made_under_another_master_is_lost() {
    for function in ["cached", "cached_sync"] {
        let (master, proxy, worker) = behind_a_proxy();
        let replica = master.replica();
        let job = Job::new(function, "key");
        let held = worker.call(&job.clone().with("body", "gate").with("value", "old"));
        held.began();
        master.replicated();
        // What the old master was told from now on is lost, and with it whoever held the key after this holder.
        replica.promote();
        proxy.turn_to(replica.port());
        proxy.cut();
        held.go();
        assert_eq!(held.end().as_deref(), Ok("old"), "a caller gets its own value");
        let next = worker.call(&job.with("value", "new"));
        assert_eq!(next.story(), (1, Ok("new".to_owned())), "nothing was stored");
    }
}

#[test]
fn a_master_that_gets_its_first_replica_is_still_the_same() {
    let (master, proxy, worker) = behind_a_proxy();
    let history = master.info("replication", "master_replid");
    let job = Job::new("cached", "key");
    let held = worker.call(&job.clone().with("body", "gate").with("value", "kept"));
    held.began();
    let _replica = master.replica();
    assert_ne!(master.info("replication", "master_replid"), history);
    proxy.cut();
    held.go();
    assert_eq!(held.end().as_deref(), Ok("kept"));
    assert_eq!(worker.call(&job).story(), (0, Ok("kept".to_owned())));
}

#[test]
fn a_connection_to_a_replica_that_is_promoted_belongs_to_no_master() {
    let master = Redis::master();
    let replica = master.replica();
    let proxy = Proxy::before(master.port());
    let worker = Worker::start(&proxy.url());
    worker.call(&Job::new("cached", "first")).end().unwrap();
    let job = Job::new("cached", "key");
    let held = worker.call(&job.clone().with("body", "gate").with("value", "old"));
    held.began();
    master.replicated();
    // A replica shows its master's history, and still does on this connection when it has one of its own.
    proxy.turn_to(replica.port());
    proxy.cut();
    // Once for the connection that serves those whose own one broke, once for that of the worker's runtime.
    for _ in 0..2 {
        worker.call(&Job::new("cached", "first")).end().unwrap();
    }
    replica.promote();
    held.go();
    assert_eq!(held.end().as_deref(), Ok("old"));
    let next = worker.call(&job.with("value", "new"));
    assert_eq!(next.story(), (1, Ok("new".to_owned())), "nothing was stored");
}

#[test]
fn a_server_that_became_a_replica_is_left_at_once() {
    let (master, proxy, worker) = behind_a_proxy();
    let other = Redis::master();
    let port = other.port().to_string();
    master.raw(&["REPLICAOF", "127.0.0.1", &port]);
    master.catch_up();
    // Where the address leads now is seen by a new connection alone, and nothing breaks the old one.
    proxy.turn_to(other.port());
    sleep(A_WHILE);
    let connections = proxy.connections();
    let job = Job::new("cached", "key");
    assert_eq!(worker.call(&job).end(), Err("Store".to_owned()), "a typed error");
    assert!(worker.call(&job).end().is_ok());
    assert!(proxy.connections() <= connections + 2, "no retry loop");
}
