//! A failover behind one address: another server replies there.

use std::thread::sleep;
use std::time::Duration;

use dspinlock_testkit::{Job, Proxy, Redis, Worker};

use crate::common::assertions::assert_publish_is_lost;
use crate::common::proxied::Proxied;

/// The minimum age of a connection that is replaced after READONLY.
const CONNECTION_AGE: Duration = Duration::from_millis(600);

/// A master, a proxy in front of it, and a connected worker.
fn proxied_master() -> (Redis, Proxy, Worker) {
    let fixture = Proxied::on(Redis::master()).connected();
    (fixture.server, fixture.proxy, fixture.worker)
}

#[test]
fn a_publish_with_a_grant_of_another_master_is_lost() {
    for function in ["cached", "cached_sync"] {
        let (master, proxy, worker) = proxied_master();
        let replica = master.replica();
        let job = Job::new(function, "key");
        let held = worker.call(&job.clone().with("body", "gate").with("value", "old"));
        held.started();
        master.wait_replicated();
        // Writes to the old master after this moment are lost. They may contain a later grant of the key.
        replica.promote();
        proxy.redirect_to(replica.port());
        proxy.disconnect();
        assert_publish_is_lost(&held, &worker, &job);
    }
}

#[test]
fn a_first_replica_does_not_change_the_identity_of_a_master() {
    let (master, proxy, worker) = proxied_master();
    let history = master.info("replication", "master_replid");
    let job = Job::new("cached", "key");
    let held = worker.call(&job.clone().with("body", "gate").with("value", "kept"));
    held.started();
    let _replica = master.replica();
    assert_ne!(master.info("replication", "master_replid"), history);
    proxy.disconnect();
    held.open_gate();
    assert_eq!(held.result().as_deref(), Ok("kept"));
    assert_eq!(worker.call(&job).outcome(), (0, Ok("kept".to_owned())));
}

#[test]
fn a_grant_is_lost_if_a_replica_is_promoted_on_an_open_connection() {
    let (master, proxy, worker) = proxied_master();
    let replica = master.replica();
    let job = Job::new("cached", "key");
    let held = worker.call(&job.clone().with("body", "gate").with("value", "old"));
    held.started();
    master.wait_replicated();
    // The new connection is to a replica, which reports the replication id of its master.
    proxy.redirect_to(replica.port());
    proxy.disconnect();
    // One call reconnects the background thread, one the runtime of the worker.
    for _ in 0..2 {
        worker.call(&Job::new("cached", "first")).result().unwrap();
    }
    replica.promote();
    assert_publish_is_lost(&held, &worker, &job);
}

#[test]
fn a_server_that_became_a_replica_is_abandoned_at_once() {
    let (master, proxy, worker) = proxied_master();
    let other = Redis::master();
    let port = other.port().to_string();
    master.raw(&["REPLICAOF", "127.0.0.1", &port]);
    master.wait_synced();
    // Only a new connection reaches the other server. The old connection stays open.
    proxy.redirect_to(other.port());
    sleep(CONNECTION_AGE);
    let connections = proxy.connections();
    let job = Job::new("cached", "key");
    assert_eq!(
        worker.call(&job).result(),
        Err("Store".to_owned()),
        "the call does not fail with a typed error"
    );
    assert!(worker.call(&job).result().is_ok());
    assert!(proxy.connections() <= connections + 2, "a retry loop");
}
