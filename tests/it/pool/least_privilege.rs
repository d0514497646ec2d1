//! The minimal ACL rule of SECURITY.md is sufficient, and it is minimal in what it permits.

use std::thread::sleep;
use std::time::Duration;

use dspinlock::Pool;
use dspinlock_testkit::{Job, Redis, Worker, eventually};

use crate::common::lock::{lock, locked};

/// A server with the restricted user only.
fn server() -> Redis {
    restrict(Redis::start())
}

fn restrict(server: Redis) -> Redis {
    server.restrict_to_least_privilege(&[]);
    server
}

fn url(server: &Redis) -> String {
    server.url_for("app", "any")
}

#[test]
fn the_user_may_call_functions_of_every_kind() {
    for server in [server(), restrict(Redis::valkey())] {
        let worker = Worker::start(&url(&server));
        for function in ["cached", "cached_sync", "shared", "near", "near_sync"] {
            let job = Job::new(function, function);
            let (bodies, value) = worker.call(&job).outcome();
            assert_eq!((bodies, value.is_ok()), (1, true), "{function}: {value:?}");
            let kept = if function == "shared" {
                Ok("computed".into())
            } else {
                value
            };
            for _ in 0..3 {
                assert_eq!(worker.call(&job).outcome(), (0, kept.clone()), "{function}");
            }
        }
        for function in ["uncached", "uncached_sync", "shared_uncached"] {
            let job = Job::new(function, function);
            assert_eq!(worker.call(&job).outcome().0, 1, "{function}");
            assert_eq!(worker.call(&job).outcome().0, 1, "{function}");
        }
        let once = Job::new("once", "once");
        assert!(worker.call(&once).result().is_ok());
        assert_eq!(
            worker.call(&once).result(),
            Err("FailIfKeyExistsIsEnabled".to_owned())
        );
        assert_eq!(server.acl_log(), "array([])");
    }
}

#[test]
fn the_user_may_wait_and_renew() {
    let server = server();
    let (holder, waiter) = (Worker::start(&url(&server)), Worker::start(&url(&server)));
    // A waiter that misses the push sleeps for a minute. The lease is renewed several times.
    let job = Job::new("cached", "key").with("sleep", 60_000).with("lease", 600);
    let holding = holder.call(&job.clone().with("body", "gate"));
    holding.started();
    let waiting = waiter.call(&job);
    sleep(Duration::from_secs(2));
    assert!(waiting.is_pending());
    let start = std::time::Instant::now();
    holding.open_gate();
    assert_eq!(waiting.outcome(), (0, holding.result()));
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    assert_eq!(server.acl_log(), "array([])");
}

#[test]
fn the_user_may_use_the_near_cache_and_delete() {
    let server = server();
    let (worker, other) = (Worker::start(&url(&server)), Worker::start(&url(&server)));
    let job = Job::new("near", "key");
    let value = worker.call(&job).result();
    assert_eq!(worker.call(&job).outcome(), (0, value.clone()));
    other.call(&Job::new("delete_near", "key")).result().unwrap();
    eventually("the push", || (worker.call(&job).result() != value).then_some(()));
    assert_eq!(
        worker.call(&Job::new("delete_and_compute", "key")).result(),
        Ok("0 stale".to_owned())
    );
    let warnings = worker.warnings();
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(server.acl_log(), "array([])");
}

#[test]
fn the_user_may_abort() {
    let server = server();
    let worker = Worker::start(&url(&server));
    for body in ["err", "panic"] {
        let job = Job::new("cached", body);
        assert!(worker.call(&job.clone().with("body", body)).result().is_err());
        assert_eq!(worker.call(&job).outcome().0, 1);
    }
    let job = Job::new("cached", "dropped");
    let call = worker.call(&job.clone().with("body", "gate"));
    call.started();
    call.cancel();
    assert_eq!(worker.call(&job).outcome().0, 1);
    assert_eq!(server.acl_log(), "array([])");
}

#[test]
fn the_user_may_use_explicit_locks_after_a_script_flush() {
    let server = server();
    let lock = lock(&Pool::open(&url(&server)).unwrap());
    for _ in 0..2 {
        let lease = locked(lock.acquire_blocking());
        server.raw(&["SCRIPT", "FLUSH"]);
        lease.release_blocking().unwrap();
        assert!(lock.delete_state_blocking().unwrap());
    }
    assert_eq!(server.acl_log(), "array([])");
}

#[test]
fn the_user_may_do_nothing_else() {
    let server = server();
    server.raw(&["SET", "another-application", "x"]);
    for command in [
        &["GET", "another-application"][..],
        &["KEYS", "*"],
        &["FLUSHALL"],
        &["CONFIG", "GET", "*"],
        &["ACL", "WHOAMI"],
        &["SCRIPT", "FLUSH"],
        &["CLIENT", "LIST"],
        &["SUBSCRIBE", "channel"],
        &["DEL", "dspinlock,x"],
    ] {
        let dry_run = [&["ACL", "DRYRUN", "app"], command].concat();
        let reply = format!("{:?}", server.raw(&dry_run));
        assert!(reply.contains("no permissions"), "{command:?}: {reply}");
    }
}
