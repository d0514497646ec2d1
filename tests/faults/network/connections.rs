//! A connection that breaks, stalls, or loses a reply.

use std::thread::sleep;
use std::time::{Duration, Instant};

use dspinlock_testkit::{Job, Proxy, Redis, Worker, eventually};

const A_WHILE: Duration = Duration::from_millis(300);

/// Within the same lease, that is: nobody had to wait for one to lapse.
const SOON: Duration = Duration::from_secs(3);

/// A server, and a worker behind a proxy that is connected already.
fn behind_a_proxy() -> (Redis, Proxy, Worker) {
    let server = Redis::start();
    let proxy = Proxy::before(server.port());
    let worker = Worker::start(&proxy.url());
    worker.call(&Job::new("cached", "first")).end().unwrap();
    (server, proxy, worker)
}

#[test]
fn a_connection_that_breaks_during_a_body_does_not_cost_the_result() {
    let (_server, proxy, worker) = behind_a_proxy();
    let job = Job::new("cached", "key");
    let call = worker.call(&job.clone().with("body", "gate"));
    call.began();
    proxy.cut();
    sleep(A_WHILE);
    call.go();
    let value = call.end();
    assert_eq!(worker.call(&job).story(), (0, value), "it was published");
}

#[test]
fn a_connection_that_breaks_while_a_caller_waits_is_no_error() {
    let (server, proxy, waiter) = behind_a_proxy();
    let holder = Worker::start(&server.url());
    let job = Job::new("cached", "key");
    let held = holder.call(&job.clone().with("body", "gate"));
    held.began();
    let waiting = waiter.call(&job);
    for _ in 0..3 {
        sleep(A_WHILE);
        proxy.cut();
    }
    held.go();
    assert_eq!(waiting.story(), (0, held.end()));
}

#[test]
fn an_acquire_whose_reply_is_lost_is_granted_once() {
    let (server, proxy, worker) = behind_a_proxy();
    proxy.stall_replies();
    // Without a cache the first request of a call is its ACQUIRE.
    let job = Job::new("each", "key")
        .with("lease", 60_000)
        .with("block", 120_000);
    let call = worker.call(&job);
    eventually("the lock to be taken", || {
        states(&server)
            .iter()
            .any(|state| state.ends_with(",0"))
            .then_some(())
    });
    let start = Instant::now();
    proxy.cut();
    proxy.resume();
    assert_eq!(
        call.story().0,
        1,
        "the call sends the same request again, and it is its own lock"
    );
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
}

#[test]
fn a_publish_whose_reply_is_lost_is_published_once() {
    let (server, proxy, worker) = behind_a_proxy();
    let job = Job::new("cached", "key");
    let call = worker.call(&job.clone().with("body", "gate"));
    call.began();
    proxy.stall_replies();
    call.go();
    eventually("the value to be published", || {
        (states(&server)
            .iter()
            .filter(|state| state.ends_with(",1"))
            .count()
            == 2)
            .then_some(())
    });
    proxy.cut();
    proxy.resume();
    let value = call.end();
    assert!(value.is_ok());
    assert_eq!(worker.call(&job).story(), (0, value));
}

#[test]
fn a_slow_link_is_good_enough_for_a_lease_that_is_longer_than_its_round_trip() {
    let (_server, proxy, worker) = behind_a_proxy();
    proxy.delay(Duration::from_millis(150));
    // A third of the first is less than a round trip, and the second as a whole.
    for (lease, end) in [(400, Ok("done")), (120, Err("LeaseLost"))] {
        let job = Job::new("each", "key").with("lease", lease).with("value", "done");
        let start = Instant::now();
        let call = worker.call(&job).end();
        assert_eq!(call, end.map(str::to_owned).map_err(str::to_owned));
        assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    }
}

#[test]
fn a_waiter_that_leaves_does_not_take_the_others_with_it() {
    let server = Redis::start();
    let (holder, others) = (Worker::start(&server.url()), Worker::start(&server.url()));
    let job = Job::new("cached", "key");
    let held = holder.call(&job.clone().with("body", "gate"));
    held.began();
    // In one process only the first goes to the store; the rest follow it.
    let waiting: Vec<_> = (0..4).map(|_| others.call(&job)).collect();
    sleep(A_WHILE);
    waiting[0].cancel();
    assert_eq!(waiting[0].end(), Err("dropped".to_owned()));
    held.go();
    let value = held.end();
    let start = Instant::now();
    for call in &waiting[1..] {
        assert_eq!(call.story(), (0, value.clone()));
    }
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

/// All states in the store.
fn states(server: &Redis) -> Vec<String> {
    let names = server.keys().into_iter().filter(|key| !key.starts_with('{'));
    names.filter_map(|name| server.get(&name)).collect()
}
