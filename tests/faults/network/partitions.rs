//! Partitions and slow networks.

use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use dspinlock_testkit::{Job, Proxy, eventually};

use crate::common::proxied::Proxied;
use crate::fixture::Fixture;

const LEASE: Duration = Duration::from_millis(1500);

/// Partitions a holder from its server. Its lease is lost by its own clock, the next body starts when the lease has
/// expired, and the late publish is not kept.
fn partition(how: &str, cut: impl Fn(&Proxy), heal: impl Fn(&Proxy)) {
    let fixture = Fixture::new();
    let (proxy, holder) = fixture.proxied_worker();
    let next = fixture.worker();
    let job = fixture
        .job("cached", how)
        .with("lease", LEASE.as_millis())
        .with("sleep", 10_000);
    let held = holder.call(&job.clone().with("body", "gate").with("value", "old"));
    let first = held.started();
    let waiting = next.call(&job.clone().with("value", "new"));
    let start = Instant::now();
    cut(&proxy);
    let second = waiting.started();
    let elapsed = start.elapsed();
    println!("{how}: the next body after {elapsed:.1?}");
    assert!(
        second > first && elapsed <= LEASE + Duration::from_millis(500),
        "{how}: {elapsed:?}"
    );
    assert_eq!(waiting.result().as_deref(), Ok("new"));
    eventually("the loss to be logged", || {
        holder
            .logs()
            .iter()
            .any(|line| line.contains("lost the lease"))
            .then_some(())
    });
    heal(&proxy);
    held.open_gate();
    assert_eq!(
        held.result().as_deref(),
        Ok("old"),
        "{how}: the caller does not get its own value"
    );
    let again = next.call(&job.with("value", "third"));
    assert_eq!(
        again.outcome(),
        (0, Ok("new".to_owned())),
        "{how}: the newer value was overwritten"
    );
    fixture.check();
}

#[test]
fn a_holder_without_a_network_is_lost() {
    partition("both-ways", Proxy::stall, Proxy::resume);
}

#[test]
fn a_holder_whose_requests_are_lost_is_lost() {
    partition("requests", Proxy::stall_requests, Proxy::resume);
}

/// The renewals arrive without a reply. A holder that is lost by its own clock aborts the lock; otherwise the last renewal
/// would block other processes for another third of the lease.
#[test]
fn a_holder_whose_replies_are_lost_is_lost() {
    partition("replies", Proxy::stall_replies, Proxy::resume);
}

#[test]
fn a_reset_or_half_open_connection_violates_no_invariant() {
    for (how, end) in [
        ("half-open", Proxy::half_open as fn(&Proxy)),
        ("reset", Proxy::reset),
        ("cut", Proxy::disconnect),
    ] {
        let fixture = Fixture::new();
        let (proxy, holder) = fixture.proxied_worker();
        let job = fixture.job("cached", how).with("lease", 15_000);
        let held = holder.call(&job.clone().with("body", "gate").with("value", "first"));
        held.started();
        end(&proxy);
        sleep(Duration::from_millis(100));
        held.open_gate();
        assert_eq!(held.result().as_deref(), Ok("first"), "{how}");
        let again = fixture.worker().call(&job.with("value", "second")).outcome();
        match how {
            // The publish times out, and the key is aborted then.
            "half-open" => assert!(again.1.is_ok(), "{again:?}"),
            _ => assert_eq!(again, (0, Ok("first".to_owned())), "{how}: the result was lost"),
        }
        fixture.check();
    }
}

#[test]
fn a_round_trip_shorter_than_a_third_of_the_lease_loses_nothing() {
    // At the same time, because they mostly sleep.
    scope(|threads| {
        for (trip, lease) in [(50, 600), (200, 1500), (1000, 6000)] {
            threads.spawn(move || slow_network(Duration::from_millis(trip), lease));
        }
    });
}

fn slow_network(trip: Duration, lease: u64) {
    let fixture = Fixture::new();
    let (proxy, holder) = fixture.proxied_worker();
    proxy.set_latency(trip, trip / 5);
    let job = fixture.job("cached", trip.as_millis()).with("lease", lease);
    let body = format!("sleep:{}", 2 * lease);
    let call = holder.call(&job.clone().with("body", body).with("value", "first"));
    assert_eq!(call.result().as_deref(), Ok("first"));
    let lost = holder.logs().iter().any(|line| line.contains("lost"));
    assert!(
        !lost,
        "the lease of {lease} ms was lost at a round trip of {trip:?}"
    );
    let again = fixture.worker().call(&job.with("value", "second")).outcome();
    assert_eq!(
        again,
        (0, Ok("first".to_owned())),
        "the result was lost at {trip:?}"
    );
    fixture.check();
}

#[test]
fn a_round_trip_shorter_than_the_lease_loses_nothing() {
    let fixture = Proxied::new().connected();
    let (proxy, worker) = (&fixture.proxy, &fixture.worker);
    proxy.delay_replies(Duration::from_millis(150));
    // A third of the first lease is less than a round trip; so is the whole second one.
    for (lease, end) in [(400, Ok("done")), (120, Err("LeaseLost"))] {
        let job = Job::new("uncached", "key")
            .with("lease", lease)
            .with("value", "done");
        let start = Instant::now();
        let call = worker.call(&job).result();
        assert_eq!(call, end.map(str::to_owned).map_err(str::to_owned));
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    }
}
