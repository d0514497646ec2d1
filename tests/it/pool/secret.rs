//! A pool with a secret, on a real server to which others may write.

use std::time::Duration;

use dspinlock::{Acquired, DSpinlockBase, Error, HashDSpinlock, Lease, Pool};
use dspinlock_runtime::internals::protocol::value::Value;
use dspinlock_testkit::{Job, Redis, Worker, eventually};

use crate::common::logs;
use crate::common::worker::SECRET;

const ONE: &str = "a secret of the tests";
const OTHER: &str = "another secret of the tests";
const FUNCTIONS: [&str; 5] = ["cached", "cached_sync", "shared", "near", "near_shared"];

fn worker(server: &Redis, secret: &str) -> Worker {
    Worker::with(&server.url(), &[(SECRET, secret)])
}

/// The value behind the only key.
fn value_name(server: &Redis) -> String {
    let mut values = server.keys().into_iter().filter(|key| key.ends_with("},value"));
    let (Some(name), None) = (values.next(), values.next()) else {
        panic!("{:?}", server.keys())
    };
    name
}

fn stored(server: &Redis, name: &str) -> Value {
    let bytes = server.bytes(name).expect("a value");
    Value::parse(&bytes.into()).expect("a value of ours")
}

/// Puts another payload in the place of the value's: with the right length, the right checksum and no secret.
fn forge(server: &Redis, name: &str, payload: Vec<u8>) {
    let mut value = stored(server, name);
    let facts = value.header.value.as_mut().expect("a published value");
    (facts.length, facts.checksum) = (payload.len(), crc32fast::hash(&payload));
    value.payload = payload.into();
    server.raw(&[b"SET".as_ref(), name.as_bytes(), &value.print(), b"KEEPTTL"]);
}

#[test]
fn processes_with_the_same_secret_share_results_and_no_others_do() {
    let server = Redis::start();
    for function in FUNCTIONS {
        let job = Job::new(function, "key");
        let (first, second) = (worker(&server, ONE), worker(&server, ONE));
        let (bodies, value) = first.call(&job).story();
        assert_eq!((bodies, value.is_ok()), (1, true), "{function}: {value:?}");
        assert_eq!(second.call(&job).story(), (0, value.clone()), "{function}");
        for stranger in [worker(&server, OTHER), Worker::start(&server.url())] {
            assert_eq!(stranger.call(&job).story().0, 1, "{function}");
        }
        let states = server.keys().into_iter().filter(|key| !key.starts_with('{'));
        assert_eq!(states.count(), 3, "one name for each secret, and one for none");
        server.raw(&["FLUSHALL"]);
    }
}

#[test]
fn nobody_else_can_write_a_value() {
    let server = Redis::start();
    for function in FUNCTIONS {
        let writer = worker(&server, ONE);
        let job = Job::new(function, "key");
        let other = Job::new(function, "other");
        // The whole record of another key, with the payload that is wanted.
        writer.call(&other).end().unwrap();
        let foreign = stored(&server, &value_name(&server)).payload;
        server.raw(&["FLUSHALL"]);
        writer.call(&job).end().unwrap();
        let name = value_name(&server);
        let sealed = stored(&server, &name).payload;
        let mut flipped = sealed.to_vec();
        flipped[2] ^= 1;
        let unsealed = &sealed[..sealed.len() - 32];
        let forgeries = [
            ("moved", foreign.to_vec()),
            ("altered", flipped),
            ("cut", sealed[..sealed.len() - 1].to_vec()),
            ("without a seal", unsealed.to_vec()),
            ("empty", Vec::new()),
        ];
        for (what, payload) in forgeries {
            forge(&server, &name, payload);
            // One that has nothing in its near cache.
            let reader = worker(&server, ONE);
            let (bodies, value) = reader.call(&job).story();
            assert_eq!(
                (bodies, value.is_ok()),
                (1, true),
                "{function}: {what}: {value:?}"
            );
            // What was computed has taken its place.
            assert_eq!(writer.call(&job).story(), (0, value), "{function}: {what}");
        }
        server.raw(&["FLUSHALL"]);
    }
}

#[test]
fn what_was_published_under_another_fence_does_not_count() {
    let server = Redis::start();
    let writer = worker(&server, ONE);
    let job = Job::new("cached", "key");
    writer.call(&job).end().unwrap();
    let name = value_name(&server);
    let mut value = stored(&server, &name);
    value.header.fence += 1;
    value.header.value.as_mut().unwrap().fence += 1;
    server.raw(&[b"SET".as_ref(), name.as_bytes(), &value.print(), b"KEEPTTL"]);
    assert_eq!(writer.call(&job).story().0, 1);
}

#[test]
fn the_near_cache_hears_of_changes_under_a_secret_too() {
    let server = Redis::start();
    let worker = worker(&server, ONE);
    for function in ["near", "near_shared"] {
        let job = Job::new(function, "key");
        let value = worker.call(&job).end();
        assert_eq!(worker.call(&job).story(), (0, value));
        for key in server.keys() {
            server.raw(&["UNLINK", &key]);
        }
        eventually("a value computed anew", || {
            (worker.call(&job).story().0 == 1).then_some(())
        });
    }
    assert_eq!(
        worker.call(&Job::new("rewrite", "key")).end(),
        Ok("0 stale".to_owned())
    );
}

fn pool(server: &Redis, secret: &str) -> Pool {
    Pool::open(&server.url()).unwrap().with_secret(secret).unwrap()
}

fn locked(acquired: Result<Acquired, Error>) -> Lease {
    match acquired {
        Ok(Acquired::Locked(lease)) => lease,
        other => panic!("{other:?}"),
    }
}

struct Own(Pool);

impl DSpinlockBase for Own {
    fn key(&self) -> String {
        "reports,nightly".into()
    }

    fn pool(&self) -> Option<Pool> {
        Some(self.0.clone())
    }
}

#[test]
fn explicit_locks_are_one_lock_by_every_way_and_give_away_no_name() {
    let server = Redis::start();
    let pool = pool(&server, ONE);
    let lock = HashDSpinlock::new("example")
        .unwrap()
        .pool(&pool)
        .wait(dspinlock::Wait::AtMost(Duration::ZERO));
    let by_trait: &dyn DSpinlockBase = &lock;
    let lease = locked(lock.acquire_blocking());
    let busy = by_trait.acquire_blocking().unwrap_err();
    logs::expect(&busy, "SpinlockTriesExceeded");
    assert!(!server.keys().contains(&lock.key()));
    lease.release_blocking().unwrap();
    assert!(by_trait.delete_state_blocking().unwrap() && server.keys().is_empty());

    let own = Own(pool);
    let lease = locked(own.acquire_blocking());
    assert!(
        server.keys().iter().all(|key| !key.contains("nightly")),
        "{:?}",
        server.keys()
    );
    drop(lease);
    eventually("the key to be given up", || {
        (server.keys().len() == 1).then_some(())
    });
    locked(own.acquire_blocking()).release_blocking().unwrap();
    assert!(own.delete_state_blocking().unwrap() && server.keys().is_empty());
}

#[test]
fn a_value_of_the_greatest_length_has_room_for_its_seal() {
    let server = Redis::start();
    let worker = worker(&server, ONE);
    // Of the 8 MiB, one byte is the format's and five are the text's length.
    let job = Job::new("cached", "key").with("value", "x".repeat((8 << 20) - 6));
    assert_eq!(worker.call(&job).story().0, 1);
    assert_eq!(worker.call(&job).story().0, 0);
}

#[test]
fn a_secret_is_long_and_never_shown() {
    let open = || Pool::open("sqlite::memory:").unwrap();
    let error = open().with_secret("in secrecy").unwrap_err();
    assert!(
        matches!(&error, Error::Configuration(flaw) if !flaw.contains("secrecy")),
        "{error}"
    );
    let pool = open().with_secret("in secrecy".repeat(2)).unwrap();
    assert!(!format!("{pool:?}").contains("secrecy"));
}
