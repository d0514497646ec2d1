//! Sentinels that name another master.

use std::thread::sleep;
use std::time::{Duration, Instant};

use dspinlock_testkit::{Job, Sentinels, Worker};

use crate::{A_WHILE, GRACE, LEASE, recovery};

/// Sentinels, and two workers that are connected already.
fn sentinels() -> (Sentinels, Worker, Worker) {
    let sentinels = Sentinels::start();
    let workers = [0, 1].map(|_| Worker::start(&sentinels.url()));
    for worker in &workers {
        worker.call(&Job::new("cached", "first")).end().unwrap();
    }
    let [one, two] = workers;
    (sentinels, one, two)
}

#[test]
fn a_master_that_is_killed_is_replaced_within_the_failover_and_a_lease() {
    let (mut sentinels, mut holder, other) = sentinels();
    let job = Job::new("cached", "key").with("lease", LEASE.as_millis());
    let held = holder.call(&job.clone().with("body", "gate"));
    held.began();
    let waiting = other.call(&job);
    sleep(A_WHILE);
    let old = sentinels.master().port();
    let start = Instant::now();
    sentinels.master().kill();
    drop(held);
    holder.kill();
    // One of those that are asked, and that are listened to, is gone too.
    sentinels.kill();
    let failover = sentinels.failed_over(old);
    waiting.began();
    recovery("a killed master", start.elapsed(), failover);
    assert!(waiting.end().is_ok());
    // Who comes later too.
    assert!(other.call(&Job::new("cached_sync", "another")).end().is_ok());
}

#[test]
fn a_master_that_is_stopped_is_left_when_another_is_named() {
    let (mut sentinels, holder, other) = sentinels();
    let job = Job::new("near", "key").with("lease", LEASE.as_millis());
    let cached = holder.call(&job.clone().with("value", "old")).end();
    assert_eq!(other.call(&job).end(), cached);
    assert_eq!(other.call(&job).story(), (0, cached), "in the near cache");
    let old = sentinels.master().port();
    let start = Instant::now();
    sentinels.master().pause();
    let call = holder.call(&Job::new("each", "key").with("tries", 1000));
    let failover = sentinels.failed_over(old);
    // The request that was under way was sent once more.
    let ended = call.end();
    recovery("a stopped master", start.elapsed(), failover);
    assert!(ended.is_ok(), "{ended:?}");
    // What a stopped master cannot announce must not be kept either.
    sentinels.master().raw(&["FLUSHALL"]);
    assert_eq!(other.call(&job.with("value", "new")).end().as_deref(), Ok("new"));
}

#[test]
fn a_master_that_hands_over_its_role_is_left() {
    let (mut sentinels, holder, other) = sentinels();
    let job = Job::new("cached", "key").with("value", "old");
    let held = holder.call(&job.clone().with("body", "gate"));
    held.began();
    sentinels.master().replicated();
    let old = sentinels.master().port();
    sentinels.fail_over();
    sentinels.failed_over(old);
    held.go();
    assert_eq!(held.end().as_deref(), Ok("old"), "a caller gets its own value");
    let next = other.call(&job.with("value", "new"));
    assert_eq!(
        next.story(),
        (1, Ok("new".to_owned())),
        "another master made the grant"
    );
}

#[test]
fn every_caller_ends_while_there_is_no_master() {
    let (mut sentinels, _, worker) = sentinels();
    (0..3).for_each(|_| sentinels.kill());
    // Nobody is asked while a connection lasts.
    assert!(worker.call(&Job::new("cached", "key")).end().is_ok());
    let fresh = Worker::start(&sentinels.url());
    let start = Instant::now();
    assert_eq!(
        fresh.call(&Job::new("cached", "key")).end(),
        Err("RedisNotInitialized".to_owned())
    );
    assert!(start.elapsed() < GRACE + Duration::from_secs(5));
}

#[test]
fn sentinels_and_their_master_each_want_a_password() {
    let sentinels = Sentinels::with_passwords("one", "two");
    let worker = Worker::start(&sentinels.url());
    assert!(worker.call(&Job::new("cached", "key")).end().is_ok());
    for (right, wrong) in [
        ("sentinel_password=one", "sentinel_password=secret"),
        (":two@", ":secret@"),
    ] {
        let worker = Worker::start(&sentinels.url().replace(right, wrong));
        let refused = worker.call(&Job::new("cached", "key")).end();
        assert_eq!(
            refused,
            Err("RedisNotInitialized".to_owned()),
            "and no password in it"
        );
    }
}

#[test]
fn a_server_that_is_named_but_is_no_master_is_not_used() {
    let mut sentinels = Sentinels::start();
    let worker = Worker::start(&sentinels.url());
    // It looks for a master where there is none, and the sentinels have not yet noticed.
    sentinels.master().raw(&["REPLICAOF", "127.0.0.1", "1"]);
    let refused = worker.call(&Job::new("cached", "key")).end();
    assert_eq!(refused, Err("RedisNotInitialized".to_owned()));
}
