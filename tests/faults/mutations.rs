//! Mutations of the waiting calls, flights, leases and connections that no test of another claim notices. Each test names the
//! one under which it fails; `tests/mutations` applies them.

use std::thread::sleep;
use std::time::{Duration, Instant};

use dspinlock_testkit::{Action, Job, Proxy, Redis, Stage, Worker, eventually};

/// No timer wakes a waiting call, and no follower probes, before a test ends.
const NO_TIMER: u64 = 30_000;
const SOON: Duration = Duration::from_secs(5);

const LEASE: Duration = Duration::from_secs(3);
/// How long a reply is late. A third of the lease would cause a second ACQUIRE.
const LATE: Duration = Duration::from_millis(900);
/// Between the end of a lease that counts from the request, and of one that counts from the reply.
const BETWEEN: Duration = LEASE.saturating_add(Duration::from_millis(400));

/// Longer than the kernel takes to deliver bytes.
const DELIVERY: Duration = Duration::from_millis(100);

fn proxied() -> (Redis, Proxy, Worker) {
    let server = Redis::start();
    let proxy = Proxy::start(server.port());
    let worker = Worker::start(&proxy.url());
    worker
        .call(&Job::new("uncached", "first"))
        .result()
        .expect("a first call");
    (server, proxy, worker)
}

fn patient(function: &str, key: &str) -> Job {
    Job::new(function, key)
        .with("sleep", NO_TIMER)
        .with("tries", 4)
        .with("lease", 60_000)
        .with("block", 120_000)
}

/// Mutation: the watch begins after the reply to a watched step.
#[test]
fn a_push_that_arrives_together_with_the_reply_before_it_wakes_the_call() {
    let (server, proxy, waiter) = proxied();
    let holder = Worker::start(&server.url());
    let job = patient("cached", "key");
    let held = holder.call(&job.clone().with("body", "gate").with("value", "held"));
    held.started();
    // The first ACQUIRE is not watched.
    proxy.intercept("ACQUIRE", Stage::Reply, Action::Hold);
    let waiting = waiter.call(&job);
    proxy.wait_matched();
    proxy.intercept("ACQUIRE", Stage::Reply, Action::Hold);
    proxy.wait_matched();
    // The reply and the push arrive while the waiter is paused, so it reads both at once.
    waiter.pause();
    held.open_gate();
    held.result().expect("an honest server");
    sleep(DELIVERY);
    proxy.resume();
    sleep(DELIVERY);
    waiter.resume();
    let resumed = Instant::now();
    assert_eq!(waiting.outcome(), (0, Ok("held".to_owned())));
    assert!(resumed.elapsed() < SOON, "{:?}", resumed.elapsed());
}

/// Mutation: the token of a request is taken just before its completion.
#[test]
fn a_follower_that_joined_after_the_read_was_sent_does_not_get_its_value() {
    let (server, proxy, worker) = proxied();
    let other = Worker::start(&server.url());
    let job = patient("cached", "key");
    for round in 0..5 {
        let [old, new] = ["old", "new"].map(|name| format!("{name}-{round}"));
        server.unlink_all();
        let compute = |value: &str| other.call(&job.clone().with("value", value)).outcome();
        assert_eq!(compute(&old).0, 1);
        proxy.intercept("GETRANGE", Stage::Reply, Action::Hold);
        let first = worker.call(&job);
        proxy.wait_matched();
        server.unlink_all();
        assert_eq!(compute(&new).0, 1);
        let second = worker.call(&job);
        // Long enough to join the flight, and too short for a probe.
        sleep(Duration::from_millis(40));
        proxy.resume();
        assert!([Ok(old), Ok(new.clone())].contains(&first.result()));
        assert_eq!(second.result(), Ok(new), "the value is older than the call");
    }
}

/// Mutation: the lease counts from the reply to the ACQUIRE.
#[test]
fn a_lease_counts_from_the_request() {
    let (_server, proxy, worker) = proxied();
    proxy.intercept("ACQUIRE", Stage::Reply, Action::Hold);
    let call = worker.call(&with_lease("lost"));
    proxy.wait_matched();
    let sent = Instant::now();
    sleep(LATE);
    // No renewal arrives. This lets the grant through.
    proxy.intercept("RENEW", Stage::Request, Action::Hold);
    call.started();
    assert_eq!(call.event().as_deref(), Some("lost"));
    println!("lost {:?} after the ACQUIRE", sent.elapsed());
    assert!(sent.elapsed() < BETWEEN, "{:?}", sent.elapsed());
}

/// Mutation: the deadline counts from the reply to a RENEW.
#[test]
fn a_renewed_lease_counts_from_the_renewal() {
    let (_server, proxy, worker) = proxied();
    proxy.intercept("RENEW", Stage::Reply, Action::Hold);
    let call = worker.call(&with_lease("lost"));
    call.started();
    proxy.wait_matched();
    let sent = Instant::now();
    sleep(LATE);
    // The next renewal is held. This lets the reply to the first one through.
    proxy.intercept("RENEW", Stage::Request, Action::Hold);
    assert_eq!(call.event().as_deref(), Some("lost"));
    println!("lost {:?} after the RENEW", sent.elapsed());
    assert!(sent.elapsed() < BETWEEN, "{:?}", sent.elapsed());
    assert!(sent.elapsed() > LEASE - LEASE / 3, "the RENEW was not answered");
}

/// Mutation: no ABORT after a loss by the own clock.
#[test]
fn a_lock_that_was_lost_by_the_own_clock_is_aborted() {
    let (server, proxy, worker) = proxied();
    proxy.intercept("RENEW", Stage::Reply, Action::Hold);
    let call = worker.call(&with_lease("gate"));
    call.started();
    proxy.wait_matched();
    // The server has extended the lease, but the holder does not know it.
    let renewed = Instant::now();
    eventually("the key to be free", || {
        server.entries('B').is_empty().then_some(())
    });
    println!("free {:?} after the RENEW", renewed.elapsed());
    assert!(
        renewed.elapsed() < LEASE - Duration::from_millis(400),
        "{:?}",
        renewed.elapsed()
    );
    call.open_gate();
}

fn with_lease(body: &str) -> Job {
    Job::new("uncached", "key")
        .with("lease", LEASE.as_millis())
        .with("block", 60_000)
        .with("body", body)
}

/// Mutation: a delete does not disband the flight.
#[test]
fn after_a_delete_the_followers_do_not_wait_for_the_leader() {
    let server = Redis::start();
    let worker = Worker::start(&server.url());
    let job = patient("shared", "key");
    let leader = worker.call(&job.clone().with("body", "gate"));
    leader.started();
    let follower = worker.call(&job.with("value", "own"));
    sleep(DELIVERY);
    let deleted = worker.call(&Job::new("delete", "key"));
    assert_eq!(deleted.result().as_deref(), Ok("true"));
    let start = Instant::now();
    assert_eq!(follower.outcome(), (1, Ok("own".to_owned())));
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    leader.open_gate();
}

/// Mutation: a lost lease does not disband the flight.
#[test]
fn after_a_lost_lease_the_followers_do_not_wait_for_the_leader() {
    let server = Redis::start();
    let worker = Worker::start(&server.url());
    let job = patient("cached", "key");
    let leader = worker.call(&job.clone().with("lease", 1000).with("body", "gate"));
    leader.started();
    let follower = worker.call(&job.with("value", "own"));
    sleep(DELIVERY);
    server.unlink_all();
    let start = Instant::now();
    assert_eq!(follower.outcome(), (1, Ok("own".to_owned())));
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    leader.open_gate();
}

/// Mutation: a request is sent twice at most.
#[test]
fn a_request_survives_two_lost_connections() {
    for (step, function) in [
        ("ACQUIRE", "uncached"),
        ("GETRANGE", "cached"),
        ("PUBLISH", "cached"),
    ] {
        let (_server, proxy, worker) = proxied();
        for stage in [Stage::Request, Stage::Reply] {
            let job = Job::new(function, &format!("{stage:?}")).with("value", "own");
            let before = proxy.requests(step);
            proxy.disconnect_at(step, stage, 2);
            assert_eq!(worker.call(&job).outcome(), (1, Ok("own".to_owned())), "{step}");
            assert_eq!(proxy.requests(step) - before, 3, "{step}");
        }
    }
}

/// Mutation: the readers of a group that is closed stay open.
#[test]
fn a_reply_of_a_reader_of_the_former_server_is_not_used() {
    let (former, proxy, worker) = proxied();
    let current = Redis::start();
    let job = patient("cached", "key");
    for (server, value) in [(&former, "old"), (&current, "new")] {
        let other = Worker::start(&server.url());
        assert_eq!(other.call(&job.clone().with("value", value)).outcome().0, 1);
    }
    let read = || worker.call(&job).result();
    eventually("a reader", || {
        assert_eq!(read().as_deref(), Ok("old"));
        client(&former, ":reader").map(drop)
    });
    // One more read, so that the reader is in use.
    assert_eq!(read().as_deref(), Ok("old"));
    proxy.intercept("GETRANGE", Stage::Reply, Action::Hold);
    let held = worker.call(&job);
    proxy.wait_matched();
    proxy.redirect_to(current.port());
    let steps = client(&former, ":steps").expect("the connection for steps");
    former.raw(&["CLIENT", "KILL", "ID", &steps]);
    let next = worker.call(&Job::new("uncached", "next")).result();
    next.expect("the new server");
    proxy.resume();
    assert_eq!(held.result().as_deref(), Ok("new"));
    assert_eq!(read().as_deref(), Ok("new"));
}

/// The id of a client whose name has this end.
fn client(server: &Redis, purpose: &str) -> Option<String> {
    let list: String = redis::from_redis_value(server.raw(&["CLIENT", "LIST"])).expect("text");
    let word = |line: &str, name: &str| {
        let mut words = line.split(' ').filter_map(|word| word.strip_prefix(name));
        words.next().map(str::to_owned)
    };
    list.lines()
        .find(|line| word(line, "name=").is_some_and(|name| name.ends_with(purpose)))
        .and_then(|line| word(line, "id="))
}
