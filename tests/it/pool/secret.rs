//! A pool with a secret, on a server that others can write to.

use std::time::Duration;

use dspinlock::{DSpinlockBase, Error, HashDSpinlock, Pool};
use dspinlock_runtime::internals::protocol::header::Hit;
use dspinlock_testkit::{Job, Redis, Worker, eventually};

use crate::common::lock::locked;
use crate::common::logs;
use crate::common::worker::SECRET;

const ONE: &str = "a secret of the tests";
const OTHER: &str = "another secret of the tests";
const FUNCTIONS: [&str; 3] = ["cached", "cached_sync", "near"];

fn worker(server: &Redis, secret: &str) -> Worker {
    Worker::with_env(&server.url(), &[(SECRET, secret)])
}

fn stored(server: &Redis, name: &str) -> Hit {
    let bytes = server.bytes(name).expect("a value");
    Hit::parse(bytes.into()).expect("the value can be parsed")
}

/// Replaces the payload of a value. The checksum is right; the secret is not used.
fn forge(server: &Redis, name: &str, payload: Vec<u8>) {
    let hit = stored(server, name);
    let header = String::from_utf8(hit.header().to_vec()).expect("a header is text");
    let old = format!("{:08x}", hit.facts().expect("the header can be parsed").checksum);
    let length = payload.len().saturating_sub(32);
    let new = format!("{:08x}", crc32fast::hash(&payload[..length]));
    let entry = [
        format!("V{}", hit.id).as_bytes(),
        header.replace(&old, &new).as_bytes(),
        &payload,
    ]
    .concat();
    server.raw(&[b"SET".as_ref(), name.as_bytes(), &entry, b"KEEPTTL"]);
}

#[test]
fn only_processes_with_the_same_secret_share_results() {
    let server = Redis::start();
    for function in FUNCTIONS {
        let job = Job::new(function, "key");
        let (first, second) = (worker(&server, ONE), worker(&server, ONE));
        let (bodies, value) = first.call(&job).outcome();
        assert_eq!((bodies, value.is_ok()), (1, true), "{function}: {value:?}");
        assert_eq!(second.call(&job).outcome(), (0, value.clone()), "{function}");
        for stranger in [worker(&server, OTHER), Worker::start(&server.url())] {
            assert_eq!(stranger.call(&job).outcome().0, 1, "{function}");
        }
        assert_eq!(server.keys().len(), 3, "one name per secret, and one without");
        server.raw(&["FLUSHALL"]);
    }
}

#[test]
fn a_forged_value_is_not_used() {
    let server = Redis::start();
    for function in FUNCTIONS {
        let writer = worker(&server, ONE);
        let job = Job::new(function, "key");
        let other = Job::new(function, "other");
        // A signed payload of another key.
        writer.call(&other).result().unwrap();
        let foreign = stored(&server, &server.only_name()).payload().to_vec();
        server.raw(&["FLUSHALL"]);
        writer.call(&job).result().unwrap();
        let name = server.only_name();
        let signed = stored(&server, &name).payload().to_vec();
        let mut flipped = signed.clone();
        flipped[2] ^= 1;
        let unsigned = &signed[..signed.len() - 32];
        let forgeries = [
            ("of another key", foreign),
            ("altered", flipped),
            ("truncated", signed[..signed.len() - 1].to_vec()),
            ("without a seal", unsigned.to_vec()),
            ("empty", Vec::new()),
        ];
        for (what, payload) in forgeries {
            forge(&server, &name, payload);
            // A new worker, whose near cache is empty.
            let reader = worker(&server, ONE);
            let (bodies, value) = reader.call(&job).outcome();
            assert_eq!(
                (bodies, value.is_ok()),
                (1, true),
                "{function}: {what}: {value:?}"
            );
            // The computed value has replaced it.
            assert_eq!(writer.call(&job).outcome(), (0, value), "{function}: {what}");
        }
        server.raw(&["FLUSHALL"]);
    }
}

#[test]
fn a_value_with_another_tag_or_header_is_not_used() {
    let server = Redis::start();
    let writer = worker(&server, ONE);
    let job = Job::new("cached", "key");
    for at in [1, 40] {
        writer.call(&job).result().unwrap();
        let name = server.only_name();
        let mut entry = server.bytes(&name).expect("a value");
        entry[at] = if entry[at] == b'x' { b'y' } else { b'x' };
        server.raw(&[b"SET".as_ref(), name.as_bytes(), &entry, b"KEEPTTL"]);
        assert_eq!(writer.call(&job).outcome().0, 1, "byte {at}");
    }
}

#[test]
fn a_near_cache_with_a_secret_is_invalidated() {
    let server = Redis::start();
    let worker = worker(&server, ONE);
    for function in ["near", "near_sync"] {
        let job = Job::new(function, "key");
        let value = worker.call(&job).result();
        assert_eq!(worker.call(&job).outcome(), (0, value));
        server.unlink_all();
        eventually("a new value", || {
            (worker.call(&job).outcome().0 == 1).then_some(())
        });
    }
}

fn pool(server: &Redis, secret: &str) -> Pool {
    Pool::builder(&server.url()).secret(secret).open().unwrap()
}

/// A custom key scheme.
struct Reports(Pool);

impl DSpinlockBase for Reports {
    fn key(&self) -> String {
        "reports,nightly".into()
    }

    fn pool(&self) -> Option<Pool> {
        Some(self.0.clone())
    }
}

#[test]
fn explicit_locks_with_a_secret_hide_their_names() {
    let server = Redis::start();
    let pool = pool(&server, ONE);
    let lock = HashDSpinlock::new("example")
        .pool(&pool)
        .wait(dspinlock::Wait::AtMost(Duration::ZERO));
    let by_trait: &dyn DSpinlockBase = &lock;
    let lease = locked(lock.acquire_blocking());
    let busy = by_trait.acquire_blocking().unwrap_err();
    logs::assert_error(&busy, "SpinlockTriesExceeded");
    assert!(!server.keys().contains(&lock.key().unwrap()));
    lease.release_blocking().unwrap();
    assert!(by_trait.delete_state_blocking().unwrap() && server.keys().is_empty());

    let reports = Reports(pool);
    let lease = locked(reports.acquire_blocking());
    assert!(
        server.keys().iter().all(|key| !key.contains("nightly")),
        "{:?}",
        server.keys()
    );
    drop(lease);
    eventually("the abort of the dropped lease", || {
        server.keys().is_empty().then_some(())
    });
    locked(reports.acquire_blocking()).release_blocking().unwrap();
    assert!(reports.delete_state_blocking().unwrap() && server.keys().is_empty());
}

#[test]
fn a_value_of_the_maximum_size_has_room_for_its_signature() {
    let server = Redis::start();
    let worker = worker(&server, ONE);
    // Of the 8 MiB, one byte is the format, and five bytes are the length of the string.
    let job = Job::new("cached", "key").with("value", "x".repeat((8 << 20) - 6));
    assert_eq!(worker.call(&job).outcome().0, 1);
    assert_eq!(worker.call(&job).outcome().0, 0);
}

#[test]
fn a_short_secret_is_refused_and_a_secret_never_printed() {
    let open = |secret: &str| Pool::builder("sqlite::memory:").secret(secret).open();
    let error = open("in secrecy").unwrap_err();
    assert!(
        matches!(&error, Error::InvalidOption { reason, .. } if !reason.contains("secrecy")),
        "{error}"
    );
    let pool = open(&"in secrecy".repeat(2)).unwrap();
    assert!(!format!("{pool:?}").contains("secrecy"));
}
