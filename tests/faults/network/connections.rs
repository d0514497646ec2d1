//! Connections that break or lose a reply.

use std::thread::sleep;
use std::time::{Duration, Instant};

use dspinlock_testkit::{Job, Worker, eventually};

use crate::common::proxied::Proxied;

const SHORT_PAUSE: Duration = Duration::from_millis(300);

/// Shorter than the lease: no call had to wait for its expiry.
const WITHIN_THE_LEASE: Duration = Duration::from_secs(3);

#[test]
fn a_connection_lost_during_a_body_does_not_lose_the_result() {
    let fixture = Proxied::new().connected();
    let (proxy, worker) = (&fixture.proxy, &fixture.worker);
    let job = Job::new("cached", "key");
    let call = worker.call(&job.clone().with("body", "gate"));
    call.started();
    proxy.disconnect();
    sleep(SHORT_PAUSE);
    call.open_gate();
    let value = call.result();
    assert_eq!(
        worker.call(&job).outcome(),
        (0, value),
        "the result was not published"
    );
}

#[test]
fn a_connection_lost_while_a_call_waits_is_not_an_error() {
    let fixture = Proxied::new().connected();
    let (proxy, waiter) = (&fixture.proxy, &fixture.worker);
    let holder = Worker::start(&fixture.server.url());
    let job = Job::new("cached", "key");
    let held = holder.call(&job.clone().with("body", "gate"));
    held.started();
    let waiting = waiter.call(&job);
    for _ in 0..3 {
        sleep(SHORT_PAUSE);
        proxy.disconnect();
    }
    held.open_gate();
    assert_eq!(waiting.outcome(), (0, held.result()));
}

#[test]
fn an_acquire_whose_reply_is_lost_is_granted_once() {
    let fixture = Proxied::new().connected();
    let (proxy, worker) = (&fixture.proxy, &fixture.worker);
    proxy.stall_replies();
    // The first request of an uncached call is its ACQUIRE.
    let job = Job::new("uncached", "key")
        .with("lease", 60_000)
        .with("block", 120_000);
    let call = worker.call(&job);
    eventually("the lock to be taken", || {
        fixture.server.entries('B').first().map(drop)
    });
    let start = Instant::now();
    proxy.disconnect();
    proxy.resume();
    assert_eq!(call.outcome().0, 1, "the repeated ACQUIRE was not granted");
    assert!(start.elapsed() < WITHIN_THE_LEASE, "{:?}", start.elapsed());
}

#[test]
fn a_publish_whose_reply_is_lost_is_published_once() {
    let fixture = Proxied::new().connected();
    let (proxy, worker) = (&fixture.proxy, &fixture.worker);
    let job = Job::new("cached", "key");
    let call = worker.call(&job.clone().with("body", "gate"));
    call.started();
    proxy.stall_replies();
    call.open_gate();
    eventually("the value to be published", || {
        (fixture.server.entries('V').len() == 2).then_some(())
    });
    proxy.disconnect();
    proxy.resume();
    let value = call.result();
    assert!(value.is_ok());
    assert_eq!(worker.call(&job).outcome(), (0, value));
    let logs = worker.logs();
    assert!(
        !logs.iter().any(|line| line.contains("not published")),
        "{logs:?}"
    );
}
