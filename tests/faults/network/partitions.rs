//! Networks that lose, delay and cut.

use std::thread::sleep;
use std::time::{Duration, Instant};

use dspinlock_testkit::{Proxy, eventually};

use crate::fixture::Scene;

const LEASE: Duration = Duration::from_millis(1500);

/// A holder that is cut off is LOST by its own clock; others enter when its lease is over, and what it then publishes is
/// not kept.
fn cut_off(how: &str, cut: impl Fn(&Proxy), heal: impl Fn(&Proxy)) {
    let scene = Scene::new();
    let (proxy, holder) = scene.behind_a_proxy();
    let next = scene.worker();
    let job = scene
        .job("cached", how)
        .with("lease", LEASE.as_millis())
        .with("sleep", 10_000);
    let held = holder.call(&job.clone().with("body", "gate").with("value", "old"));
    let first = held.began();
    let waiting = next.call(&job.clone().with("value", "new"));
    let start = Instant::now();
    cut(&proxy);
    let second = waiting.began();
    let took = start.elapsed();
    println!("{how}: the next body after {took:.1?}");
    assert!(
        second > first && took <= LEASE + Duration::from_millis(500),
        "{how}: {took:?}"
    );
    assert_eq!(waiting.end().as_deref(), Ok("new"));
    eventually("the holder to know of its loss", || {
        holder
            .logs()
            .iter()
            .any(|line| line.contains("was lost"))
            .then_some(())
    });
    heal(&proxy);
    held.go();
    assert_eq!(held.end().as_deref(), Ok("old"), "{how}: its own value");
    let again = next.call(&job.with("value", "third"));
    assert_eq!(
        again.story(),
        (0, Ok("new".to_owned())),
        "{how}: the newer value is intact"
    );
    scene.check();
}

#[test]
fn cut_off_both_ways_a_holder_is_lost_and_the_next_enters() {
    cut_off("both-ways", Proxy::stall, Proxy::resume);
}

#[test]
fn cut_off_on_the_way_there_a_holder_is_lost_and_the_next_enters() {
    cut_off("there", Proxy::stall_requests, Proxy::resume);
}

/// The renewals arrive and are never answered: a holder that is lost by its own clock gives the key up, or they would keep
/// others out for another third of the lease.
#[test]
fn cut_off_on_the_way_back_a_holder_is_lost_and_the_next_enters() {
    cut_off("back", Proxy::stall_replies, Proxy::resume);
}

#[test]
fn a_connection_that_is_half_open_or_reset_leaves_nothing_wrong() {
    for (how, end) in [
        ("half-open", Proxy::half_open as fn(&Proxy)),
        ("reset", Proxy::break_off),
        ("cut", Proxy::cut),
    ] {
        let scene = Scene::new();
        let (proxy, holder) = scene.behind_a_proxy();
        let job = scene.job("cached", how).with("lease", 15_000);
        let held = holder.call(&job.clone().with("body", "gate").with("value", "first"));
        held.began();
        end(&proxy);
        sleep(Duration::from_millis(100));
        held.go();
        assert_eq!(held.end().as_deref(), Ok("first"), "{how}");
        let again = scene.worker().call(&job.with("value", "second")).story();
        match how {
            // Nobody is told: the publish is silent until its limit, and the key is given up then.
            "half-open" => assert!(again.1.is_ok(), "{again:?}"),
            _ => assert_eq!(again, (0, Ok("first".to_owned())), "{how}: the result was kept"),
        }
        scene.check();
    }
}

#[test]
fn a_slow_link_costs_no_lease_while_the_round_trip_is_short_of_a_third() {
    for (trip, lease) in [(50, 600), (200, 1500), (1000, 6000)] {
        let scene = Scene::new();
        let (proxy, holder) = scene.behind_a_proxy();
        let trip = Duration::from_millis(trip);
        proxy.latency(trip, trip / 5);
        let job = scene.job("cached", trip.as_millis()).with("lease", lease);
        let body = format!("sleep:{}", 2 * lease);
        let call = holder.call(&job.clone().with("body", body).with("value", "first"));
        assert_eq!(call.end().as_deref(), Ok("first"));
        let lost = holder.logs().iter().any(|line| line.contains("lost"));
        assert!(
            !lost,
            "a loss at a round trip of {trip:?} and a lease of {lease} ms"
        );
        let again = scene.worker().call(&job.with("value", "second")).story();
        assert_eq!(again, (0, Ok("first".to_owned())), "kept at {trip:?}");
        scene.check();
    }
}
