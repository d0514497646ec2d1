//! An ACQUIRE that arrives after its call has ended, because its connection was cut on the way.

use std::thread::sleep;
use std::time::{Duration, Instant};

use dspinlock_testkit::{Action, Call, Job, Proxy, Stage, Worker, eventually};

use crate::fixture::Fixture;

/// Far longer than a test.
const LONG_LEASE: Duration = Duration::from_secs(60);

/// The second ABORT is sent a second after the first one.
const SECOND_ABORT: Duration = Duration::from_secs(1);

/// Longer than a round trip on a loaded machine.
const MARGIN: Duration = Duration::from_millis(900);

/// The ABORT is behind the ACQUIRE on the same connection, so no call needs to look for late replies.
#[test]
fn a_late_grant_on_an_open_connection_is_aborted_at_once() {
    let fixture = Fixture::new();
    for stage in [Stage::Request, Stage::Reply] {
        let (proxy, worker) = fixture.proxied_worker();
        let requests = || ["ACQUIRE", "ABORT"].map(|step| proxy.requests(step));
        let before = requests();
        proxy.intercept("ACQUIRE", stage, Action::Hold);
        let call = worker.call(&job(&fixture, LONG_LEASE));
        proxy.wait_matched();
        call.cancel();
        assert_eq!(call.result(), Err("dropped".to_owned()));
        let resumed = Instant::now();
        proxy.resume();
        let is_over = || requests()[1] > before[1] && fixture.server.entries('B').is_empty();
        eventually("the ABORT behind the ACQUIRE", || is_over().then_some(()));
        let freed = resumed.elapsed();
        println!("{stage:?}: free {freed:.1?} after the ACQUIRE");
        let sent = requests()
            .iter()
            .zip(before)
            .map(|(now, before)| now - before)
            .collect::<Vec<_>>();
        assert_eq!(sent, [1, 1], "one ACQUIRE and one ABORT");
        // The second ABORT would be sent after a second.
        assert!(freed < SECOND_ABORT / 2, "{freed:?}");
    }
}

#[test]
fn a_late_copy_of_an_acquire_is_aborted_after_a_second() {
    let fixture = Fixture::new();
    let (proxy, worker) = fixture.proxied_worker();
    let call = lose_first_copy(&proxy, &worker, &job(&fixture, LONG_LEASE), || {});
    let freed = drop_then_deliver(&fixture, &proxy, &call, SECOND_ABORT / 3, || {});
    println!("free {freed:.1?} after the drop");
    assert!(freed <= SECOND_ABORT + MARGIN, "{freed:?}");
}

#[test]
fn a_late_copy_that_arrives_after_the_second_abort_is_aborted_after_one_lease() {
    let fixture = Fixture::new();
    let (proxy, worker) = fixture.proxied_worker();
    let (lease, arrival) = (Duration::from_secs(3), Duration::from_secs(2));
    let call = lose_first_copy(&proxy, &worker, &job(&fixture, lease), || {});
    let freed = drop_then_deliver(&fixture, &proxy, &call, arrival, || {});
    println!("free {freed:.1?} after the drop");
    // Without the ABORT the copy would hold the key for a lease.
    assert!(freed <= lease + MARGIN && freed < arrival + lease, "{freed:?}");
}

/// The connection of the second copy leads through a second proxy, which holds the reply to that copy.
#[test]
fn a_late_copy_is_aborted_if_the_call_is_dropped_before_the_reply_to_the_second_one() {
    let fixture = Fixture::new();
    let (proxy, worker) = fixture.proxied_worker();
    let second = Proxy::start(fixture.server.port());
    let call = lose_first_copy(&proxy, &worker, &job(&fixture, LONG_LEASE), || {
        proxy.redirect_to(second.port());
        second.intercept("ACQUIRE", Stage::Reply, Action::Hold);
    });
    second.wait_matched();
    let freed = drop_then_deliver(&fixture, &proxy, &call, SECOND_ABORT / 3, || second.resume());
    println!("free {freed:.1?} after the drop");
    assert!(freed <= SECOND_ABORT + MARGIN, "{freed:?}");
}

fn job(fixture: &Fixture, lease: Duration) -> Job {
    fixture
        .job("uncached", "key")
        .with("lease", lease.as_millis())
        .with("block", 2 * lease.as_millis())
        .with("body", "gate")
}

/// Makes a call, and cuts its connection while the proxy holds its ACQUIRE. The call sends a second copy.
fn lose_first_copy<'a>(proxy: &Proxy, worker: &'a Worker, job: &Job, before_cut: impl FnOnce()) -> Call<'a> {
    proxy.intercept("ACQUIRE", Stage::Request, Action::Hold);
    let call = worker.call(job);
    proxy.wait_matched();
    before_cut();
    proxy.cut();
    call
}

/// Drops the call when the server has granted its second copy, and delivers the first one so long after the drop. Returns
/// how long after the drop the key is free.
fn drop_then_deliver(
    fixture: &Fixture,
    proxy: &Proxy,
    call: &Call<'_>,
    arrival: Duration,
    after_drop: impl FnOnce(),
) -> Duration {
    let is_held = || fixture.server.entries('B').first().map(drop);
    let is_free = || is_held().is_none().then_some(());
    eventually("the grant of the second copy", is_held);
    let dropped = Instant::now();
    call.cancel();
    assert_eq!(call.result(), Err("dropped".to_owned()));
    after_drop();
    eventually("the first ABORT", is_free);
    sleep(arrival.saturating_sub(dropped.elapsed()));
    proxy.resume();
    eventually("the grant of the first copy", is_held);
    eventually("the last ABORT", is_free);
    dropped.elapsed()
}
