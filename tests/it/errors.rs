//! Every variant of the error is raised by something real.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::time::Duration;

use dspinlock::{Acquired, Error, HashDSpinlock, Lease, Pool, dspinlock};
use dspinlock_testkit::{Redis, eventually};
use serde::{Deserialize, Serialize, Serializer};

use crate::attribute::caching::in_memory;
use crate::common::worker::variant;

/// A variant, and what raises it.
type Raised = (&'static str, fn() -> Error);

const RAISED: &[Raised] = &[
    ("AtomicQueryInvalidState", || {
        with_state("t,2026-01-02T03:04:05Z,7")
    }),
    ("InvalidMutexReleaseEncountered", || {
        let (lock, lease) = held();
        lock.delete_state_blocking().unwrap();
        lease.release_blocking().unwrap_err()
    }),
    ("RedisNotInitialized", || {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let pool = Pool::open(&format!("redis://{free}")).unwrap();
        failure(lock(&pool))
    }),
    ("SpinlockTriesExceeded", || {
        let (lock, _lease) = held();
        failure(
            lock.max_spinlock_tries(1)
                .spinlock_sleep_thresh(Duration::from_millis(10)),
        )
    }),
    ("InvalidValueEncounteredDuringUnpacking", || {
        with_state("what is this")
    }),
    ("FailIfKeyExistsIsEnabled", || {
        let (lock, _lease) = held();
        failure(lock.fail_if_key_exists(true))
    }),
    ("ProvidedObjectIsNotHashable", || {
        HashDSpinlock::new(&Unserializable).unwrap_err()
    }),
    ("LeaseLost", lease_lost),
    ("Store", || {
        let server = Redis::start();
        server.raw(&[
            "ACL",
            "SETUSER",
            "reader",
            "on",
            "nopass",
            "~*",
            "+@read",
            "+@connection",
        ]);
        failure(lock(&Pool::open(&server.url_for("reader", "any")).unwrap()))
    }),
    ("Codec", || {
        #[dspinlock(cached_if_computed)]
        fn broken() -> Result<Unserializable, Error> {
            Ok(Unserializable)
        }
        in_memory();
        broken().unwrap_err()
    }),
    ("ValueTooLarge", || {
        #[dspinlock(cached_if_computed)]
        fn large() -> Result<String, Error> {
            Ok("x".repeat(9 << 20))
        }
        in_memory();
        large().unwrap_err()
    }),
    ("Configuration", || Pool::open("gopher://hole").unwrap_err()),
    ("Recursion", || {
        #[dspinlock(key = ())]
        fn again(once: bool) -> Result<(), Error> {
            if once { again(false) } else { Ok(()) }
        }
        in_memory();
        again(true).unwrap_err()
    }),
];

#[test]
fn every_variant_is_raised() {
    crate::common::logs::listen();
    for (name, raise) in RAISED {
        let error = raise();
        assert_eq!(variant(&error), *name, "{error}");
        assert!(!error.to_string().is_empty() && !error.to_string().contains('\n'));
    }
}

/// The enum is open, so that the compiler cannot tell; its source can.
#[test]
fn no_variant_is_left_out() {
    let source = include_str!("../../dspinlock-runtime/src/error.rs");
    let body = source
        .split("pub enum Error {")
        .nth(1)
        .unwrap()
        .split("\n}")
        .next()
        .unwrap();
    let declared: BTreeSet<&str> = body
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| line.starts_with(char::is_uppercase))
        .map(|line| line.split([' ', '(', ',']).next().unwrap())
        .collect();
    let raised: BTreeSet<&str> = RAISED.iter().map(|(name, _)| *name).collect();
    assert_eq!(declared, raised);
}

/// Its `Serialize` fails, as one of a user's may.
#[derive(Debug, Deserialize)]
struct Unserializable;

impl Serialize for Unserializable {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("a secret reason"))
    }
}

fn lock(pool: &Pool) -> HashDSpinlock {
    HashDSpinlock::new("example").unwrap().pool(pool)
}

fn failure(lock: HashDSpinlock) -> Error {
    lock.acquire_blocking().map(drop).unwrap_err()
}

fn held() -> (HashDSpinlock, Lease) {
    let lock = lock(&Pool::open("sqlite::memory:").unwrap());
    let lease = take(&lock);
    (lock, lease)
}

fn take(lock: &HashDSpinlock) -> Lease {
    match lock.acquire_blocking().unwrap() {
        Acquired::Locked(lease) => lease,
        Acquired::Computed => panic!("nothing is cached"),
    }
}

fn with_state(state: &str) -> Error {
    let server = Redis::start();
    let lock = lock(&Pool::open(&server.url()).unwrap());
    server.raw(&["SET", &lock.key(), state]);
    failure(lock)
}

/// The holder is cut off from its server for longer than its lease.
fn lease_lost() -> Error {
    let server = Redis::start();
    let lease = take(&lock(&Pool::open(&server.url()).unwrap()).lease(Duration::from_millis(500)));
    server.pause();
    eventually("the lease to lapse", || lease.is_lost().then_some(()));
    server.resume();
    lease.release_blocking().unwrap_err()
}
