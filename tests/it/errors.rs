//! Every error variant can be provoked.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::time::Duration;

use dspinlock::{Error, HashDSpinlock, Holder, Lease, Pool, Wait, dspinlock};
use dspinlock_testkit::{Redis, eventually};
use serde::{Deserialize, Serialize, Serializer};

use crate::common::lock::{lock, locked};
use crate::common::store::{Store, init_in_memory};
use crate::common::worker::variant;

/// The name of a variant, and a function that provokes it.
type Provoked = (&'static str, fn() -> Error);

const PROVOKED: &[Provoked] = &[
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
        with_state("malformed")
    }),
    ("FailIfKeyExistsIsEnabled", || {
        let (lock, _lease) = held();
        failure(lock.fail_if_key_exists(true))
    }),
    ("ProvidedObjectIsNotHashable", || {
        failure(HashDSpinlock::new(&Unserializable))
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
        #[dspinlock(cached_if_computed, entry = broken_entry)]
        fn broken() -> Result<Unserializable, Error> {
            Ok(Unserializable)
        }
        init_in_memory();
        broken().unwrap();
        broken_entry().prime_blocking(&Ok(Unserializable)).unwrap_err()
    }),
    ("KeyReused", || {
        #[dspinlock(key = id, validate = amount, cached_if_computed)]
        fn pay(id: u64, amount: u64) -> Result<(), Error> {
            let _ = id;
            Ok(())
        }
        init_in_memory();
        pay(1, 10).unwrap();
        pay(1, 11).unwrap_err()
    }),
    ("ValueTooLarge", || {
        #[dspinlock(cached_if_computed, entry = large_entry)]
        fn large() -> Result<String, Error> {
            Ok("x".repeat(9 << 20))
        }
        init_in_memory();
        large_entry().prime_blocking(&large()).unwrap_err()
    }),
    ("EmbeddedNotInitialized", || {
        Pool::open("sqlite:/proc/dspinlock.sqlite").unwrap_err()
    }),
    ("AlreadyInitialized", || {
        init_in_memory();
        let other = Pool::builder("sqlite::memory:").max_value_size(1).open();
        dspinlock::init(other.unwrap()).unwrap_err()
    }),
    ("InvalidUrl", || Pool::open("gopher://hole").unwrap_err()),
    ("InvalidOption", || {
        let pool = Pool::open("sqlite::memory:").unwrap();
        failure(lock(&pool).ttl(Duration::ZERO))
    }),
    ("Closed", || {
        let pool = Pool::open("sqlite::memory:").unwrap();
        pool.close_blocking(Duration::ZERO).unwrap();
        failure(lock(&pool))
    }),
    ("Recursion", || {
        #[dspinlock(key = ())]
        fn again(once: bool) -> Result<(), Error> {
            if once { again(false) } else { Ok(()) }
        }
        init_in_memory();
        again(true).unwrap_err()
    }),
];

#[test]
fn every_variant_can_be_provoked() {
    crate::common::logs::capture();
    for (name, provoke) in PROVOKED {
        let error = provoke();
        assert_eq!(variant(&error), *name, "{error}");
        assert!(!error.to_string().is_empty() && !error.to_string().contains('\n'));
    }
}

#[test]
fn an_error_names_the_holder() {
    const LEASE: Duration = Duration::from_secs(60);
    let [file, server] = Store::each();
    for url in ["sqlite::memory:".into(), file.url(), server.url()] {
        let pool = Pool::open(&url).unwrap();
        let lock = lock(&pool).lease(LEASE);
        let _lease = locked(lock.acquire_blocking());
        std::thread::sleep(Duration::from_millis(20));
        let impatient = lock.clone().wait(Wait::AtMost(Duration::ZERO));
        for error in [failure(impatient), failure(lock.fail_if_key_exists(true))] {
            // An explicit lock is on a key that Python may know. Its state has no room for a site.
            assert_is_own(&error, "", LEASE);
        }
    }
}

#[test]
fn an_error_of_an_annotated_function_names_its_site() {
    #[dspinlock(key = (), fail_if_key_exists, ttl = "1m")]
    fn once() -> Result<(), Error> {
        Ok(())
    }
    #[dspinlock(key = (), wait = "0s", lease = "1m")]
    fn nested(recurse: bool) -> Result<(), Error> {
        // Not the same thread: that would be a recursion.
        match recurse {
            true => std::thread::scope(|scope| scope.spawn(|| nested(false)).join().unwrap()),
            false => Ok(()),
        }
    }
    init_in_memory();
    once().unwrap();
    let minute = Duration::from_secs(60);
    let (computed, held) = (once().unwrap_err(), nested(true).unwrap_err());
    assert_is_own(&computed, "once", minute);
    assert_is_own(&held, "nested", minute);
    let (computed, held) = (computed.to_string(), held.to_string());
    assert!(
        computed.contains("; computed by `") && !computed.contains("lease"),
        "{computed}"
    );
    assert!(
        held.contains("; held by `") && held.contains("; its lease ends in "),
        "{held}"
    );
}

#[test]
fn an_error_names_no_holder_of_another_program() {
    let server = Redis::start();
    let lock = lock(&Pool::open(&server.url()).unwrap());
    server.raw(&["SET", &lock.key().unwrap(), "t,2026-01-02T03:04:05Z,0"]);
    let error = failure(lock.fail_if_key_exists(true));
    assert_eq!(holder(&error), None);
    assert!(!error.to_string().contains("held by"), "{error}");
}

fn holder(error: &Error) -> Option<&Holder> {
    match error {
        Error::SpinlockTriesExceeded { holder, .. } | Error::FailIfKeyExistsIsEnabled { holder, .. } => {
            holder.as_ref()
        }
        _ => panic!("{error}"),
    }
}

/// The error names this process as the holder, and the function of this module.
fn assert_is_own(error: &Error, function: &str, lease: Duration) {
    let holder = holder(error).unwrap_or_else(|| panic!("no holder: {error}"));
    let is_named = holder.site().starts_with(module_path!()) && holder.site().ends_with(function);
    assert!(
        is_named || function.is_empty() && holder.site().is_empty(),
        "{error}"
    );
    assert_eq!(holder.process_id(), u64::from(std::process::id()), "{error}");
    assert!(!holder.host().is_empty(), "{error}");
    assert!(holder.held_for() < lease / 2, "{error}");
    assert!(
        holder
            .lease_left()
            .is_some_and(|left| left <= lease && left > lease / 2),
        "{error}"
    );
    let named = format!("process {} on `{}`", std::process::id(), holder.host());
    assert!(error.to_string().contains(&named), "{error}");
    assert!(!error.to_string().contains("0ns"), "{error}");
}

/// The enum is `#[non_exhaustive]`, so that the compiler cannot check it: the test reads the source.
#[test]
fn no_variant_is_missing() {
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
    // `tests/process` provokes it, because a process with the threads of a test harness should not fork.
    let elsewhere = ["Forked"];
    let provoked: BTreeSet<&str> = PROVOKED.iter().map(|(name, _)| *name).chain(elsewhere).collect();
    assert_eq!(declared, provoked);
}

/// Its `Serialize` implementation fails.
#[derive(Debug, Deserialize)]
struct Unserializable;

impl Serialize for Unserializable {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("a secret reason"))
    }
}

fn failure(lock: HashDSpinlock) -> Error {
    lock.acquire_blocking().map(drop).unwrap_err()
}

fn held() -> (HashDSpinlock, Lease) {
    let lock = lock(&Pool::open("sqlite::memory:").unwrap());
    let lease = locked(lock.acquire_blocking());
    (lock, lease)
}

fn with_state(state: &str) -> Error {
    let server = Redis::start();
    let lock = lock(&Pool::open(&server.url()).unwrap());
    server.raw(&["SET", &lock.key().unwrap(), state]);
    failure(lock)
}

/// The server stops for longer than the lease.
fn lease_lost() -> Error {
    let server = Redis::start();
    let lock = lock(&Pool::open(&server.url()).unwrap()).lease(Duration::from_millis(500));
    let lease = locked(lock.acquire_blocking());
    server.pause();
    eventually("the lease to expire", || lease.is_lost().then_some(()));
    server.resume();
    lease.release_blocking().unwrap_err()
}

#[test]
fn the_advice_of_an_explicit_lock_is_not_about_the_attribute() {
    let pool = Pool::open("sqlite::memory:").unwrap();
    let error = failure(HashDSpinlock::new(&Unserializable).pool(&pool));
    let message = error.to_string();
    assert!(
        message.starts_with("cannot hash the key of `explicit lock`"),
        "{message}"
    );
    assert!(
        !message.contains("skip") && !message.contains("argument"),
        "{message}"
    );
}

#[test]
fn a_time_out_names_both_limits_of_the_wait() {
    let (lock, _lease) = held();
    let message = failure(
        lock.max_spinlock_tries(1)
            .spinlock_sleep_thresh(Duration::from_millis(10)),
    )
    .to_string();
    assert!(
        message.contains("raise `wait` or `max_spinlock_tries`"),
        "{message}"
    );
}
