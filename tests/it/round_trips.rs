//! The round trips and connections of a call.

use dspinlock_testkit::{Job, Proxy, Worker, eventually};

use crate::common::proxied::Proxied;

#[test]
fn a_hit_is_one_round_trip_and_a_cold_call_at_most_three() {
    let Proxied {
        server: _server,
        proxy,
        worker,
    } = Proxied::new();
    for function in ["cached", "cached_sync", "shared"] {
        warm_up(&proxy, &worker, function);
        for round in 0..20 {
            let job = Job::new(function, &format!("{function}-{round}"));
            let trips = |what: &str| {
                proxy.clear_round_trips();
                worker.call(&job).result().unwrap();
                let trips = proxy.round_trips();
                println!("{function}, {what}: {trips:?}");
                trips.len()
            };
            assert!(trips("cold") <= 3, "a cold call of {function}");
            assert_eq!(trips("warm"), 1, "a warm call of {function}");
        }
    }
}

/// Calls until every connection is open: a reader opens after some reads.
fn warm_up(proxy: &Proxy, worker: &Worker, function: &str) {
    let job = Job::new(function, &format!("first-{function}"));
    for _ in 0..10 {
        worker.call(&job).result().unwrap();
    }
    eventually("calls with one round trip", || {
        proxy.clear_round_trips();
        (0..3).for_each(|_| drop(worker.call(&job).result().unwrap()));
        (proxy.round_trips().len() == 3).then_some(())
    });
}

#[test]
fn an_uncached_call_is_two_round_trips() {
    let Proxied {
        server: _server,
        proxy,
        worker,
    } = Proxied::new();
    worker.call(&Job::new("uncached", "first")).result().unwrap();
    proxy.clear_round_trips();
    for _ in 0..10 {
        worker.call(&Job::new("uncached", "second")).result().unwrap();
    }
    assert_eq!(proxy.round_trips().len(), 20, "{:?}", proxy.round_trips());
}

#[test]
fn a_process_with_one_runtime_needs_at_most_four_connections() {
    let Proxied {
        server: _server,
        proxy,
        worker,
    } = Proxied::new();
    let calls: Vec<_> = (0..64)
        .map(|at| worker.call(&Job::new("cached", &format!("{at}")).with("body", "sleep:50")))
        .collect();
    for call in calls {
        call.result().unwrap();
    }
    let connections = proxy.connections();
    assert!(
        connections <= 4,
        "{connections}: for steps, for heartbeats, a reader of the runtime, and one of the background"
    );
}

#[test]
fn a_sync_hit_survives_the_loss_of_its_own_connection() {
    let Proxied {
        server,
        proxy,
        worker,
    } = Proxied::new();
    let job = Job::new("cached_sync", "key").with("value", "first");
    eventually("connections for steps, for heartbeats, and for sync hits", || {
        assert_eq!(worker.call(&job).result().as_deref(), Ok("first"));
        (proxy.connections() == 3).then_some(())
    });
    let other = job.with("value", "second");
    for round in 0..20 {
        server.raw(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        for _ in 0..3 {
            assert_eq!(
                worker.call(&other).result().as_deref(),
                Ok("first"),
                "round {round}"
            );
        }
    }
}
