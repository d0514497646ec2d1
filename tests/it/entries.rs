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
    let entry = server.get(&server.only_name()).unwrap();
    let (head, header) = entry.trim_end().split_at(33);
    assert!(
        head.starts_with('B') && head.ends_with(&format!("{fence:016}")),
        "{head}"
    );
    let fields: Vec<&str> = header.splitn(5, ',').collect();
    assert_eq!(fields[0], worker.id().to_string());
    assert!(!fields[1].is_empty(), "the host is missing");
    assert_eq!(fields[2..], ["", "", "it::common::worker::cached"]);
    assert!(!server.keys().concat().contains("secret") && !entry.contains("secret"));
    call.open_gate();
    call.result().unwrap();
}

#[test]
fn a_name_shows_the_format_and_no_argument() {
    let server = Redis::start();
    let worker = Worker::start(&server.url());
    worker.call(&Job::new("cached", "secret")).result().unwrap();
    let name = server.only_name();
    assert!(
        name.starts_with("dspinlock,a") && name.len() == "dspinlock,a".len() + 32,
        "{name}"
    );
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
fn a_damaged_value_is_computed_again() {
    let server = Redis::start();
    let worker = Worker::start(&server.url());
    let job = Job::new("cached", "example");
    assert_eq!(worker.call(&job).outcome().0, 1);
    let (name, other) = (server.only_name(), Job::new("cached", "other"));
    let set = |entry: &[u8]| drop(server.raw(&[b"SET", name.as_bytes(), entry]));
    assert_eq!(worker.call(&other).outcome().0, 1);
    let foreign = server.keys().into_iter().find(|key| *key != name).unwrap();
    let foreign = server.bytes(&foreign).unwrap();
    let whole = server.bytes(&name).unwrap();
    let torn = &whole[..whole.len() - 1];
    let damaged = [&whole[..33], b"garbage"].concat();
    for entry in [&foreign, torn, &[torn, b"?"].concat(), &damaged, &whole[..33]] {
        set(entry);
        let outcome = worker.call(&job).outcome();
        assert!(outcome.0 == 1 && outcome.1.is_ok(), "{entry:?}: {outcome:?}");
        assert_eq!(worker.call(&job).outcome().0, 0, "the new value was not kept");
    }
}

#[test]
fn an_entry_of_another_program_is_an_error_and_not_overwritten() {
    let server = Redis::start();
    let worker = Worker::start(&server.url());
    let job = Job::new("cached", "example");
    worker.call(&job).result().unwrap();
    let name = server.only_name();
    let whole = server.bytes(&name).unwrap();
    let unknown = [b"X", &whole[1..]].concat();
    let bad = Err("InvalidValueEncounteredDuringUnpacking".to_owned());
    for entry in [b"", &b"garbage"[..], &whole[..32], &unknown] {
        server.raw(&[b"SET", name.as_bytes(), entry]);
        assert_eq!(worker.call(&job).outcome(), (0, bad.clone()), "{entry:?}");
        assert_eq!(server.bytes(&name).as_deref(), Some(entry));
    }
    server.raw(&["DEL", &name]);
    server.raw(&["RPUSH", &name, "a"]);
    assert_eq!(worker.call(&job).outcome(), (0, bad));
    server.raw(&["DEL", &name]);
    assert_eq!(worker.call(&job).outcome().0, 1);
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
        for function in ["shared", "shared_uncached"] {
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
