//! The smallest user of a server that dspinlock needs: SECURITY.md names it, and these tests have nothing else.

use std::thread::sleep;
use std::time::Duration;

use dspinlock::{Acquired, HashDSpinlock, Pool};
use dspinlock_testkit::{Job, Redis, Worker, eventually};

/// A server that knows this user and the kit's, and nobody else.
fn server() -> Redis {
    on(Redis::start())
}

fn on(server: Redis) -> Redis {
    server.for_the_smallest_user(&[]);
    server
}

fn url(server: &Redis) -> String {
    server.url_for("app", "any")
}

#[test]
fn hits_and_cold_calls_of_every_kind() {
    for server in [server(), on(Redis::valkey())] {
        let worker = Worker::start(&url(&server));
        for function in [
            "cached",
            "cached_sync",
            "shared",
            "near",
            "near_sync",
            "near_shared",
        ] {
            let job = Job::new(function, function);
            let (bodies, value) = worker.call(&job).story();
            assert_eq!((bodies, value.is_ok()), (1, true), "{function}: {value:?}");
            for _ in 0..3 {
                assert_eq!(worker.call(&job).story(), (0, value.clone()), "{function}");
            }
        }
        for function in ["each", "each_sync", "shared_each"] {
            let job = Job::new(function, function);
            assert_eq!(worker.call(&job).story().0, 1, "{function}");
            assert_eq!(worker.call(&job).story().0, 1, "{function}");
        }
        let once = Job::new("once", "once");
        assert!(worker.call(&once).end().is_ok());
        assert_eq!(
            worker.call(&once).end(),
            Err("FailIfKeyExistsIsEnabled".to_owned())
        );
        assert_eq!(server.refusals(), "array([])");
    }
}

#[test]
fn waiting_waking_and_the_heartbeat() {
    let server = server();
    let (holder, waiter) = (Worker::start(&url(&server)), Worker::start(&url(&server)));
    // Whoever sleeps through the wake-up sleeps for a minute; the lease is renewed several times.
    let job = Job::new("cached", "key").with("sleep", 60_000).with("lease", 600);
    let holding = holder.call(&job.clone().with("body", "gate"));
    holding.began();
    let waiting = waiter.call(&job);
    sleep(Duration::from_secs(2));
    assert!(waiting.is_quiet());
    let start = std::time::Instant::now();
    holding.go();
    assert_eq!(waiting.story(), (0, holding.end()));
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    assert_eq!(server.refusals(), "array([])");
}

#[test]
fn pushes_to_the_near_cache_and_deletes() {
    let server = server();
    let (worker, other) = (Worker::start(&url(&server)), Worker::start(&url(&server)));
    let job = Job::new("near_shared", "key");
    let value = worker.call(&job).end();
    assert_eq!(worker.call(&job).story(), (0, value.clone()));
    other.call(&Job::new("forget", "key")).end().unwrap();
    eventually("the push", || (worker.call(&job).end() != value).then_some(()));
    assert_eq!(
        worker.call(&Job::new("rewrite", "key")).end(),
        Ok("0 stale".to_owned())
    );
    assert!(worker.logs().is_empty(), "{:?}", worker.logs());
    assert_eq!(server.refusals(), "array([])");
}

#[test]
fn giving_up_and_taking_over() {
    let server = server();
    let worker = Worker::start(&url(&server));
    for body in ["err", "panic"] {
        let job = Job::new("cached", body);
        assert!(worker.call(&job.clone().with("body", body)).end().is_err());
        assert_eq!(worker.call(&job).story().0, 1);
    }
    let job = Job::new("cached", "dropped");
    let call = worker.call(&job.clone().with("body", "gate"));
    call.began();
    call.cancel();
    assert_eq!(worker.call(&job).story().0, 1);
    assert_eq!(server.refusals(), "array([])");
}

#[test]
fn explicit_locks_and_forgotten_scripts() {
    let server = server();
    let pool = Pool::open(&url(&server)).unwrap();
    let lock = HashDSpinlock::new("example").unwrap().pool(&pool);
    for _ in 0..2 {
        let Acquired::Locked(lease) = lock.acquire_blocking().unwrap() else {
            panic!("nothing is cached");
        };
        server.raw(&["SCRIPT", "FLUSH"]);
        lease.release_blocking().unwrap();
        assert!(lock.delete_state_blocking().unwrap());
    }
    assert_eq!(server.refusals(), "array([])");
}

#[test]
fn nothing_else_is_allowed() {
    let server = server();
    server.raw(&["SET", "another application's", "x"]);
    for command in [
        &["GET", "another application's"][..],
        &["KEYS", "*"],
        &["FLUSHALL"],
        &["CONFIG", "GET", "*"],
        &["ACL", "WHOAMI"],
        &["SCRIPT", "FLUSH"],
        &["CLIENT", "LIST"],
        &["SUBSCRIBE", "channel"],
        &["DEL", "dspinlock,x"],
    ] {
        let dry = [&["ACL", "DRYRUN", "app"], command].concat();
        let answer = format!("{:?}", server.raw(&dry));
        assert!(answer.contains("no permissions"), "{command:?}: {answer}");
    }
}
