//! The entries in a server: their content, their expiry, and entries that are malformed.

use std::time::{Duration, Instant};

use dspinlock::{HashDSpinlock, Pool};
use dspinlock_testkit::{Job, Redis, Worker};

use crate::common::logs::{self, assert_error};

#[test]
fn the_header_names_the_holder_and_no_argument() {
    let server = Redis::start();
    let worker = Worker::start(&server.url());
    let call = worker.call(&Job::new("cached", "secret").with("body", "gate"));
    let fence = call.started();
    let value = server.only_value_name();
    let header = server.get(&value).unwrap();
    let fields: Vec<&str> = header.trim_end().splitn(13, ',').collect();
    assert_eq!((fields[0], fields[2]), ("dspinlock1", fence.to_string().as_str()));
    assert_eq!(fields[10], worker.id().to_string());
    assert!(!fields[11].is_empty(), "the host is missing");
    assert_eq!(fields[12], "it::common::worker::cached");
    assert!(!server.keys().concat().contains("secret") && !header.contains("secret"));
    call.open_gate();
    call.result().unwrap();
}

#[test]
fn both_entries_of_a_key_expire_together() {
    let server = Redis::start();
    let worker = Worker::start(&server.url());
    let expiries = || -> Vec<String> {
        let names = server.keys();
        names
            .iter()
            .map(|name| format!("{:?}", server.raw(&["PEXPIRETIME", name])))
            .collect()
    };
    let call = worker.call(&Job::new("cached", "key").with("body", "gate").with("lease", 600));
    call.started();
    for _ in 0..4 {
        // Before and after a renewal.
        std::thread::sleep(std::time::Duration::from_millis(150));
        let expiries = expiries();
        assert!(expiries.len() == 2 && expiries[0] == expiries[1], "{expiries:?}");
    }
    call.open_gate();
    call.result().unwrap();
    let expiries = expiries();
    assert!(expiries.len() == 2 && expiries[0] == expiries[1], "{expiries:?}");
}

#[test]
fn a_malformed_state_is_an_error_and_not_overwritten() {
    logs::capture();
    let server = Redis::start();
    let worker = Worker::start(&server.url());
    let pool = Pool::open(&server.url()).unwrap();
    let explicit = || HashDSpinlock::new("example").pool(&pool);
    let name = explicit().key().unwrap();
    let unparsed = "InvalidValueEncounteredDuringUnpacking";
    for (state, variant) in [
        ("", unparsed),
        ("secret", unparsed),
        ("secret,2026-01-02T03:04:05+00:00", unparsed),
        ("secret,2026-01-02T03:04:05+00:00,0,0", unparsed),
        ("secret,yesterday,0", unparsed),
        ("secret,2026-01-02T03:04:05+00:00,x", unparsed),
        ("secret,2026-01-02T03:04:05+00:00,7", "AtomicQueryInvalidState"),
    ] {
        server.raw(&["SET", &name, state]);
        for function in ["shared", "shared_uncached"] {
            let call = worker.call(&Job::new(function, "example"));
            assert_eq!(call.outcome(), (0, Err(variant.to_owned())), "{state:?}");
        }
        assert_error(&explicit().acquire_blocking().map(|_| ()).unwrap_err(), variant);
        assert_eq!(
            server.get(&name).as_deref(),
            Some(state),
            "the entry was overwritten"
        );
    }
    server.raw(&["DEL", &name]);
    server.raw(&["RPUSH", &name, "secret"]);
    assert_eq!(
        worker.call(&Job::new("shared", "example")).outcome(),
        (0, Err(unparsed.to_owned()))
    );
    assert_error(&explicit().acquire_blocking().map(|_| ()).unwrap_err(), unparsed);
    server.raw(&["LLEN", &name]);
    // The user can delete it.
    assert!(explicit().delete_state_blocking().unwrap());
    assert!(worker.call(&Job::new("shared", "example")).result().is_ok());
}

#[test]
fn a_malformed_value_counts_as_absent() {
    let server = Redis::start();
    let worker = Worker::start(&server.url());
    for function in ["cached", "shared"] {
        let job = Job::new(function, "example");
        assert_eq!(worker.call(&job).outcome().0, 1);
        let value = server.only_value_name();
        let whole = server.bytes(&value).unwrap();
        let (newer, torn) = ([b"dspinlock2", &whole[10..]].concat(), &whole[..whole.len() - 1]);
        let changed = [torn, b"?"].concat();
        for garbage in [b"", &b"garbage"[..], b"\n", &newer, torn, &changed] {
            server.raw(&[b"SET", value.as_bytes(), garbage]);
            let story = worker.call(&job).outcome();
            assert!(
                story.0 == 1 && story.1.is_ok(),
                "{function}, {garbage:?}: {story:?}"
            );
            assert_eq!(worker.call(&job).outcome().0, 0, "the new value was not kept");
        }
        server.raw(&["DEL", &value]);
        server.raw(&["RPUSH", &value, "a"]);
        assert_eq!(worker.call(&job).outcome().0, 1, "{function}, a list");
        assert_eq!(worker.call(&job).outcome().0, 0);
        server.raw(&["FLUSHALL"]);
    }
}

#[test]
fn a_state_with_an_invalid_timestamp_is_an_error_and_not_overwritten() {
    // A timestamp without a time zone is ambiguous.
    let states = [
        (
            "0d9ef2f7,2026-01-02T03:04:05.000006,0",
            "InvalidValueEncounteredDuringUnpacking",
        ),
        (
            "0d9ef2f7,2026-01-02T03:04:05,1",
            "InvalidValueEncounteredDuringUnpacking",
        ),
        (
            "0d9ef2f7,10000-01-01T00:00:00Z,0",
            "InvalidValueEncounteredDuringUnpacking",
        ),
        (
            "0d9ef2f7,-001-01-01T00:00:00Z,0",
            "InvalidValueEncounteredDuringUnpacking",
        ),
        (
            "0d9ef2f7,2026-02-30T00:00:00Z,0",
            "InvalidValueEncounteredDuringUnpacking",
        ),
        ("0d9ef2f7,2026-01-02T03:04:05Z,2", "AtomicQueryInvalidState"),
        ("what is this", "InvalidValueEncounteredDuringUnpacking"),
    ];
    let server = Redis::start();
    let worker = Worker::start(&server.url());
    for (at, (state, error)) in states.iter().enumerate() {
        let key = format!("bad{at}");
        let name = HashDSpinlock::new(&key).key().unwrap();
        server.raw(&["SET", &name, state]);
        for function in ["shared", "shared_uncached", "near_shared"] {
            let start = Instant::now();
            let outcome = worker.call(&Job::new(function, &key)).outcome();
            assert_eq!(outcome, (0, Err((*error).to_owned())), "{function}: {state}");
            assert!(start.elapsed() < Duration::from_secs(1), "{function}: {state}");
        }
        assert_eq!(
            server.get(&name).as_deref(),
            Some(*state),
            "the entry was overwritten"
        );
        assert_eq!(
            server.raw(&["PTTL", &name]),
            redis::Value::Int(-1),
            "the entry was given an expiry"
        );
        // A delete repairs it.
        assert!(worker.call(&Job::new("delete", &key)).result().is_ok());
        assert_eq!(worker.call(&Job::new("shared", &key)).outcome().0, 1);
    }
}
