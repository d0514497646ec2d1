//! What a call costs on the wire.

use dspinlock_testkit::{Job, Proxy, Redis, Worker};

#[test]
fn a_warm_call_is_one_round_trip_and_a_cold_one_at_most_three() {
    let server = Redis::start();
    let proxy = Proxy::before(server.port());
    let worker = Worker::start(&proxy.url());
    for function in ["cached", "cached_sync", "shared"] {
        // The first call connects, logs in and loads scripts; the next sync one makes the connection of sync hits.
        for first in ["first", "next"] {
            worker
                .call(&Job::new(function, &format!("{first}-{function}")))
                .end()
                .unwrap();
        }
        for round in 0..20 {
            let job = Job::new(function, &format!("{function}-{round}"));
            let trips = |what: &str| {
                proxy.reset();
                worker.call(&job).end().unwrap();
                let trips = proxy.trips();
                println!("{function}, {what}: {trips:?}");
                trips.len()
            };
            assert!(trips("cold") <= 3, "a cold call of {function}");
            assert_eq!(trips("warm"), 1, "a warm call of {function}");
        }
    }
}

#[test]
fn a_call_that_always_computes_takes_two_round_trips() {
    let server = Redis::start();
    let proxy = Proxy::before(server.port());
    let worker = Worker::start(&proxy.url());
    worker.call(&Job::new("each", "first")).end().unwrap();
    proxy.reset();
    for _ in 0..10 {
        worker.call(&Job::new("each", "second")).end().unwrap();
    }
    assert_eq!(proxy.trips().len(), 20, "{:?}", proxy.trips());
}

#[test]
fn a_process_needs_one_connection() {
    let server = Redis::start();
    let proxy = Proxy::before(server.port());
    let worker = Worker::start(&proxy.url());
    let calls: Vec<_> = (0..64)
        .map(|at| worker.call(&Job::new("cached", &format!("{at}")).with("body", "sleep:50")))
        .collect();
    for call in calls {
        call.end().unwrap();
    }
    assert_eq!(proxy.connections(), 1);
}

#[test]
fn a_sync_hit_has_a_connection_of_its_own_and_does_without_where_it_is_killed() {
    let server = Redis::start();
    let proxy = Proxy::before(server.port());
    let worker = Worker::start(&proxy.url());
    let job = Job::new("cached_sync", "key").with("value", "first");
    for _ in 0..3 {
        assert_eq!(worker.call(&job).end().as_deref(), Ok("first"));
    }
    assert_eq!(proxy.connections(), 2, "the background's, and that of sync hits");
    let other = job.with("value", "second");
    for round in 0..20 {
        server.raw(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        for _ in 0..3 {
            assert_eq!(worker.call(&other).end().as_deref(), Ok("first"), "round {round}");
        }
    }
}
