//! Sentinels that announce another master.

use std::thread::sleep;
use std::time::{Duration, Instant};

use dspinlock::{Pool, RedisParameters};
use dspinlock_testkit::{Job, Sentinels, Worker};

use crate::common::assertions::assert_publish_is_lost;
use crate::common::lock::{lock, locked};
use crate::{GRACE, LEASE, SHORT_PAUSE, assert_recovered, host_port};

/// Sentinels and two connected workers.
fn sentinels() -> (Sentinels, Worker, Worker) {
    let sentinels = Sentinels::start();
    let workers = [0, 1].map(|_| Worker::start(&sentinels.url()));
    for worker in &workers {
        worker.call(&Job::new("cached", "first")).result().unwrap();
    }
    let [one, two] = workers;
    (sentinels, one, two)
}

#[test]
fn parameters_lead_to_the_master() {
    let mut sentinels = Sentinels::start();
    let url = sentinels.url();
    let place = url.split_once("://").expect("a URL").1;
    let (hosts, name) = place.split_once('/').expect("the name of the master");
    let parameters = RedisParameters::new()
        .sentinels(hosts.split(',').map(host_port))
        .service_name(name)
        .rdb(2);
    let pool = Pool::connect(parameters).unwrap();
    let _lease = locked(lock(&pool).acquire_blocking());
    let used = format!("{:?}", sentinels.master().raw(&["INFO", "keyspace"]));
    assert!(used.contains("db2:keys=1"), "{used}");
}

#[test]
fn a_killed_master_is_replaced_within_the_failover_and_a_lease() {
    let (mut sentinels, mut holder, other) = sentinels();
    let job = Job::new("cached", "key").with("lease", LEASE.as_millis());
    let held = holder.call(&job.clone().with("body", "gate"));
    held.started();
    let waiting = other.call(&job);
    sleep(SHORT_PAUSE);
    let old = sentinels.master().port();
    let start = Instant::now();
    sentinels.master().kill();
    drop(held);
    holder.kill();
    // The sentinel that clients query and subscribe to is killed too.
    sentinels.kill_sentinel();
    let failover = sentinels.wait_failed_over(old);
    waiting.started();
    assert_recovered("a killed master", start.elapsed(), failover);
    assert!(waiting.result().is_ok());
    // Later calls work too.
    assert!(other.call(&Job::new("cached_sync", "another")).result().is_ok());
}

#[test]
fn a_stopped_master_is_abandoned_after_the_failover() {
    let (mut sentinels, holder, other) = sentinels();
    let job = Job::new("near", "key").with("lease", LEASE.as_millis());
    let cached = holder.call(&job.clone().with("value", "old")).result();
    assert_eq!(other.call(&job).result(), cached);
    assert_eq!(
        other.call(&job).outcome(),
        (0, cached),
        "the value is not in the near cache"
    );
    let old = sentinels.master().port();
    let start = Instant::now();
    sentinels.master().pause();
    let call = holder.call(&Job::new("uncached", "key").with("tries", 1000));
    let failover = sentinels.wait_failed_over(old);
    // The pending request was repeated.
    let result = call.result();
    assert_recovered("a stopped master", start.elapsed(), failover);
    assert!(result.is_ok(), "{result:?}");
    // A stopped master sends no pushes, so its near-cache values must be dropped.
    sentinels.master().raw(&["FLUSHALL"]);
    assert_eq!(
        other.call(&job.with("value", "new")).result().as_deref(),
        Ok("new")
    );
}

#[test]
fn a_demoted_master_is_abandoned_and_its_grants_are_lost() {
    let (mut sentinels, holder, other) = sentinels();
    let job = Job::new("cached", "key").with("value", "old");
    let held = holder.call(&job.clone().with("body", "gate"));
    held.started();
    sentinels.master().wait_replicated();
    let old = sentinels.master().port();
    sentinels.fail_over();
    sentinels.wait_failed_over(old);
    assert_publish_is_lost(&held, &other, &job);
}

#[test]
fn every_call_returns_while_there_is_no_sentinel() {
    let (mut sentinels, _, worker) = sentinels();
    (0..3).for_each(|_| sentinels.kill_sentinel());
    // No sentinel is needed while the connection is open.
    assert!(worker.call(&Job::new("cached", "key")).result().is_ok());
    let fresh = Worker::start(&sentinels.url());
    let start = Instant::now();
    assert_eq!(
        fresh.call(&Job::new("cached", "key")).result(),
        Err("RedisNotInitialized".to_owned())
    );
    assert!(start.elapsed() < GRACE + Duration::from_secs(5));
}

#[test]
fn sentinels_and_their_master_have_separate_passwords() {
    let sentinels = Sentinels::with_passwords("one", "two");
    let worker = Worker::start(&sentinels.url());
    assert!(worker.call(&Job::new("cached", "key")).result().is_ok());
    for (right, wrong) in [
        ("sentinel_password=one", "sentinel_password=secret"),
        (":two@", ":secret@"),
    ] {
        let worker = Worker::start(&sentinels.url().replace(right, wrong));
        let refused = worker.call(&Job::new("cached", "key")).result();
        assert_eq!(
            refused,
            Err("RedisNotInitialized".to_owned()),
            "the error is another, or contains the password"
        );
    }
}

#[test]
fn an_announced_server_that_is_not_a_master_is_not_used() {
    let mut sentinels = Sentinels::start();
    let worker = Worker::start(&sentinels.url());
    // The server has no master, and the sentinels have not noticed yet.
    sentinels.master().raw(&["REPLICAOF", "127.0.0.1", "1"]);
    let refused = worker.call(&Job::new("cached", "key")).result();
    assert_eq!(refused, Err("RedisNotInitialized".to_owned()));
}
