//! Servers with full memory, and servers that evict entries.

use std::thread::sleep;
use std::time::{Duration, Instant};

use dspinlock_testkit::{Job, Redis, Worker, eventually};

/// The lease, and the time to notice a loss: a third of the lease, plus a margin for a loaded machine.
const LEASE: Duration = Duration::from_millis(1500);
const HEARTBEAT: Duration = Duration::from_millis(500 + 500);

fn job(key: &str) -> Job {
    Job::new("cached", key).with("lease", LEASE.as_millis())
}

/// Sets a limit below the present use: from now on every command that needs memory is refused.
fn fill(server: &Redis) {
    server.raw(&["CONFIG", "SET", "maxmemory", "1"]);
}

fn drain(server: &Redis) {
    server.raw(&["CONFIG", "SET", "maxmemory", "0"]);
}

#[test]
fn with_full_memory_locks_are_renewed_and_aborted_and_values_returned() {
    let server = Redis::start();
    let worker = Worker::start(&server.url());
    let held = worker.call(&job("held").with("body", "gate").with("value", "mine"));
    let failing = worker.call(&job("failing").with("body", "gate+err"));
    held.started();
    failing.started();
    fill(&server);
    sleep(2 * LEASE);
    assert_eq!(server.keys().len(), 2, "the leases were not renewed");
    failing.open_gate();
    assert_eq!(failing.result(), Err("Body".to_owned()));
    assert_eq!(server.keys().len(), 1, "the failed call did not abort");
    held.open_gate();
    assert_eq!(
        held.result().as_deref(),
        Ok("mine"),
        "the caller does not get its value"
    );
    let start = Instant::now();
    eventually("the abort", || server.keys().is_empty().then_some(()));
    assert!(
        start.elapsed() < LEASE / 2,
        "the key was freed by expiry, not by an abort"
    );
    let logs = worker.logs();
    assert!(
        logs.iter().any(|line| line.contains("was not published")),
        "{logs:?}"
    );

    let (before, start) = (server.command_count(Some("evalsha")), Instant::now());
    assert_eq!(worker.call(&job("new")).outcome(), (0, Err("Store".to_owned())));
    let (requests, elapsed) = (server.command_count(Some("evalsha")) - before, start.elapsed());
    println!("refused because of memory after {elapsed:?} and {requests} requests");
    assert!(requests <= 2 && elapsed < Duration::from_secs(1));
    drain(&server);
    let stored = worker.call(&job("held").with("value", "next")).outcome();
    assert_eq!(stored, (1, Ok("next".to_owned())));
    assert_eq!(worker.call(&job("held")).outcome(), (0, Ok("next".to_owned())));
}

#[test]
fn a_holder_whose_entry_is_evicted_is_lost_within_a_heartbeat() {
    type Eviction = fn(&Redis);
    let evictions: [(&str, Eviction); 2] = [
        ("by a person", |server| {
            drop(server.raw(&["UNLINK", &server.only_name()]));
        }),
        ("by the server", |server| {
            server.raw(&["CONFIG", "SET", "maxmemory-policy", "volatile-ttl"]);
            fill(server);
            // The server evicts before it runs a command.
            server.raw(&["PING"]);
            drain(server);
            assert!(server.keys().is_empty(), "nothing was evicted");
        }),
    ];
    for (what, evict) in evictions {
        let server = Redis::start();
        let (holder, other) = (Worker::start(&server.url()), Worker::start(&server.url()));
        let held = holder.call(&job("key").with("body", "lost+gate").with("value", "old"));
        let first = held.started();
        let start = Instant::now();
        evict(&server);
        assert_eq!(held.event().as_deref(), Some("lost"));
        let elapsed = start.elapsed();
        println!("evicted {what}, the lease is lost after {elapsed:?}");
        assert!(elapsed <= HEARTBEAT, "{what}: {elapsed:?}");
        held.open_gate();
        assert_eq!(
            held.result().as_deref(),
            Ok("old"),
            "{what}: the caller does not get its value"
        );
        let next = other.call(&job("key").with("value", "new"));
        let second = next.started();
        assert!(second > first, "{what}: the fence does not grow");
        assert_eq!(
            next.result().as_deref(),
            Ok("new"),
            "{what}: the old value was stored"
        );
        assert_eq!(holder.call(&job("key")).outcome(), (0, Ok("new".to_owned())));
    }
}
