//! A logger of the user that panics. The library may log on its background thread, whose heartbeat goes on.

use std::thread::sleep;
use std::time::Duration;

use dspinlock_testkit::{Job, Proxy, Redis, Worker, eventually};

use crate::common::logs::PANICS;

fn worker(url: &str) -> Worker {
    Worker::with_env(url, &[(PANICS, "1")])
}

/// The loss of one lease is logged by the heartbeat itself.
#[test]
fn the_other_leases_are_renewed_after_a_loss_whose_logger_panics() {
    let server = Redis::start();
    let worker = worker(&server.url());
    let job = Job::new("cached", "short")
        .with("body", "gate")
        .with("lease", 3000);
    let short = worker.call(&job);
    short.started();
    let job = Job::new("cached", "long")
        .with("body", "gate")
        .with("lease", 6000);
    let long = worker.call(&job);
    long.started();
    worker.suspended(Duration::from_millis(3500));
    eventually("the loss of the short lease", || {
        let logs = worker.logs();
        logs.iter()
            .any(|line| line.contains("lost the lease"))
            .then_some(())
    });
    // Without renewals, the long lease would be lost after two and a half seconds more.
    for _ in 0..3 {
        sleep(Duration::from_millis(500));
        worker.suspended(Duration::from_secs(2));
    }
    long.open_gate();
    let value = long.result();
    assert!(value.is_ok(), "{value:?}");
    let other = Worker::start(&server.url());
    let job = Job::new("cached", "long");
    assert_eq!(
        other.call(&job).outcome(),
        (0, value),
        "the value was not published"
    );
}

#[test]
fn a_failed_renewal_whose_logger_panics_is_tried_again() {
    let server = Redis::start();
    let proxy = Proxy::start(server.port());
    let worker = worker(&proxy.url());
    let job = Job::new("cached", "key").with("body", "gate").with("lease", 3000);
    let held = worker.call(&job);
    held.started();
    proxy.limit_connections(Some(0));
    proxy.disconnect();
    eventually("a renewal that fails", || {
        let logs = worker.logs();
        logs.iter()
            .any(|line| line.contains("cannot renew"))
            .then_some(())
    });
    proxy.limit_connections(None);
    sleep(Duration::from_secs(3));
    held.open_gate();
    let value = held.result();
    assert!(value.is_ok(), "{value:?}");
    let other = Worker::start(&server.url());
    assert_eq!(
        other.call(&Job::new("cached", "key")).outcome(),
        (0, value),
        "the value was not published"
    );
}
