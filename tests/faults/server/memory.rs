//! A server whose memory is full, and one that gives entries up.

use std::thread::sleep;
use std::time::{Duration, Instant};

use dspinlock_testkit::{Job, Redis, Worker, eventually};

/// The lease, and what a heartbeat may take at most: a third of it, and what a busy machine adds.
const LEASE: Duration = Duration::from_millis(1500);
const HEARTBEAT: Duration = Duration::from_millis(500 + 500);

fn job(key: &str) -> Job {
    Job::new("cached", key).with("lease", LEASE.as_millis())
}

/// Less than a server needs for itself: from now on it takes nothing that needs memory.
fn fill(server: &Redis) {
    server.raw(&["CONFIG", "SET", "maxmemory", "1"]);
}

fn drain(server: &Redis) {
    server.raw(&["CONFIG", "SET", "maxmemory", "0"]);
}

#[test]
fn with_full_memory_a_lock_is_kept_and_given_up_and_the_value_returned() {
    let server = Redis::start();
    let worker = Worker::start(&server.url());
    let held = worker.call(&job("held").with("body", "gate").with("value", "mine"));
    let failing = worker.call(&job("failing").with("body", "gate+err"));
    held.began();
    failing.began();
    fill(&server);
    sleep(2 * LEASE);
    assert_eq!(states(&server).len(), 2, "renewed without memory");
    failing.go();
    assert_eq!(failing.end(), Err("Body".to_owned()));
    assert_eq!(states(&server).len(), 1, "given up without memory");
    held.go();
    assert_eq!(held.end().as_deref(), Ok("mine"), "the value is returned");
    let start = Instant::now();
    eventually("the key to be given up", || {
        states(&server).is_empty().then_some(())
    });
    assert!(start.elapsed() < LEASE / 2, "it was left to lapse");
    let logs = worker.logs();
    assert!(
        logs.iter().any(|line| line.contains("the value is not kept")),
        "{logs:?}"
    );

    let (before, start) = (server.asked(Some("evalsha")), Instant::now());
    assert_eq!(worker.call(&job("new")).story(), (0, Err("Store".to_owned())));
    let (asked, took) = (server.asked(Some("evalsha")) - before, start.elapsed());
    println!("refused for want of memory after {took:?} and {asked} requests");
    assert!(asked <= 2 && took < Duration::from_secs(1));
    drain(&server);
    let stored = worker.call(&job("held").with("value", "next")).story();
    assert_eq!(stored, (1, Ok("next".to_owned())));
    assert_eq!(worker.call(&job("held")).story(), (0, Ok("next".to_owned())));
}

#[test]
fn a_holder_whose_state_or_value_was_evicted_knows_it_within_a_heartbeat() {
    // One of the two entries alone, as the server draws lots; and both, by the server itself.
    type Eviction = fn(&Redis);
    let evictions: [(&str, Eviction); 3] = [
        ("the state", |server| {
            drop(server.raw(&["UNLINK", &states(server)[0]]))
        }),
        ("the value", |server| {
            drop(server.raw(&["UNLINK", &format!("{{{}}},value", states(server)[0])]));
        }),
        ("both", |server| {
            server.raw(&["CONFIG", "SET", "maxmemory-policy", "volatile-ttl"]);
            fill(server);
            // Entries are given up before a command is run.
            server.raw(&["PING"]);
            drain(server);
            assert!(server.keys().is_empty(), "nothing was evicted");
        }),
    ];
    for (what, evict) in evictions {
        let server = Redis::start();
        let (holder, other) = (Worker::start(&server.url()), Worker::start(&server.url()));
        let held = holder.call(&job("key").with("body", "lost+gate").with("value", "old"));
        let first = held.began();
        let start = Instant::now();
        evict(&server);
        assert_eq!(held.event().as_deref(), Some("lost"));
        let took = start.elapsed();
        println!("without {what} the holder knows after {took:?}");
        assert!(took <= HEARTBEAT, "{what}: {took:?}");
        held.go();
        assert_eq!(held.end().as_deref(), Ok("old"), "{what}: the value is returned");
        let next = other.call(&job("key").with("value", "new"));
        let second = next.began();
        assert!(second > first, "{what}: fences grow");
        assert_eq!(
            next.end().as_deref(),
            Ok("new"),
            "{what}: the old one was not stored"
        );
        assert_eq!(holder.call(&job("key")).story(), (0, Ok("new".to_owned())));
    }
}

/// The names of all states.
fn states(server: &Redis) -> Vec<String> {
    let mut names = server.keys();
    names.retain(|name| !name.starts_with('{'));
    names
}
