//! What must not happen, whatever is given: a hang, a panic, a lost entry, a private word in a message.

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use dspinlock::{Error, HashDSpinlock, Pool};
use dspinlock_testkit::{Job, Redis, Worker};

use crate::common::logs::{self, expect};
use crate::common::store::Store;

/// The connect and the response timeout together, with room for a loaded machine.
const IN_TIME: Duration = Duration::from_secs(10);

/// The error of a first step on the store at `url`.
fn refused(url: &str) -> Error {
    logs::listen();
    let start = Instant::now();
    let error = Pool::open(url)
        .and_then(|pool| {
            HashDSpinlock::new("secret argument")?
                .pool(&pool)
                .acquire_blocking()
        })
        .map(|_| ())
        .expect_err(url);
    assert!(start.elapsed() < IN_TIME, "{url}: {:?}", start.elapsed());
    error
}

#[test]
fn key_parts_of_any_size_and_content() {
    for store in Store::each() {
        let pool = Pool::open(&store.url()).unwrap();
        let large = "x".repeat(1 << 20);
        for key in ["", "\0", "a\0b", "{a},b\r\n", &large] {
            let lock = HashDSpinlock::new(key).unwrap().pool(&pool);
            let dspinlock::Acquired::Locked(lease) = lock.acquire_blocking().unwrap() else {
                panic!("{key:?} is new");
            };
            lease.release_blocking().unwrap();
        }
    }
}

#[test]
fn a_value_that_is_too_large_is_refused_and_not_stored() {
    for store in Store::each() {
        let worker = Worker::start(&store.url());
        let job = Job::new("cached", "key");
        let large = worker.call(&job.clone().with("size", 9 << 20)).story();
        assert_eq!(large, (1, Err("ValueTooLarge".to_owned())), "on {}", store.url());
        let fits = worker.call(&job.clone().with("size", 6 << 20)).story();
        assert_eq!(fits, (1, Ok("6291456 bytes".to_owned())));
        assert_eq!(worker.call(&job).story(), (0, Ok("6291456 bytes".to_owned())));
    }
}

#[test]
fn durations_that_make_no_sense() {
    for store in Store::each() {
        let worker = Worker::start(&store.url());
        for (option, value) in [
            ("lease", 0),
            ("ttl", 0),
            ("block", 0),
            ("tries", 0),
            ("ttl", u64::MAX),
            ("lease", u64::MAX),
            ("block", u64::MAX),
        ] {
            let call = worker.call(&Job::new("cached", "secret").with(option, value));
            assert_eq!(
                call.story(),
                (0, Err("Configuration".to_owned())),
                "{option} = {value} on {}",
                store.url()
            );
        }
        let longer = Job::new("cached", "secret")
            .with("lease", 2000)
            .with("block", 1000);
        assert_eq!(worker.call(&longer).story(), (0, Err("Configuration".to_owned())));
    }
}

#[test]
fn nobody_listens() {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    expect(
        &refused(&format!("redis://user:secret@127.0.0.1:{port}")),
        "RedisNotInitialized",
    );
    expect(&refused("redis+unix:///no/such/socket"), "RedisNotInitialized");
    expect(&refused("redis://no-such-host.invalid"), "RedisNotInitialized");
}

#[test]
fn nobody_answers() {
    // The kernel takes the connection, and nobody ever reads from it.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    expect(
        &refused(&format!("redis://:secret@127.0.0.1:{port}")),
        "RedisNotInitialized",
    );
}

#[test]
fn a_server_that_stops_answering() {
    logs::listen();
    let server = Redis::start();
    let pool = Pool::open(&server.url()).unwrap();
    let lock = || HashDSpinlock::new("secret argument").unwrap().pool(&pool);
    drop(lock().acquire_blocking().unwrap());
    server.pause();
    let start = Instant::now();
    let error = lock().acquire_blocking().map(|_| ()).unwrap_err();
    println!("{error} after {:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(20));
    let name = crate::common::worker::variant(&error);
    assert!(
        ["Store", "RedisNotInitialized"].contains(&name.as_str()),
        "{error}"
    );
    assert!(!logs::leaks(Some(&error)));
    server.resume();
    drop(dspinlock_testkit::eventually(
        "the store to be used again",
        || lock().acquire_blocking().ok(),
    ));
}

#[test]
fn wrong_and_missing_passwords() {
    let server = Redis::with(&["--requirepass", "right"]);
    for url in [
        server.url(),
        server.url_for("", "secret"),
        server.url_for("secret", "secret"),
    ] {
        expect(&refused(&url), "RedisNotInitialized");
    }
    assert!(server.keys().is_empty());
    let pool = Pool::open(&server.url_for("", "right")).unwrap();
    assert!(
        HashDSpinlock::new("a")
            .unwrap()
            .pool(&pool)
            .acquire_blocking()
            .is_ok()
    );
}

#[test]
fn missing_permissions() {
    let server = Redis::start();
    for (user, rules) in [
        ("nothing", &["-@all", "~*"][..]),
        ("other_keys", &["+@all", "~other:*"]),
        ("reader", &["+@read", "+@connection", "~*"]),
    ] {
        let mut command = vec!["ACL", "SETUSER", user, "on", ">secret"];
        command.extend(rules);
        server.raw(&command);
        let error = refused(&server.url_for(user, "secret"));
        println!("{user}: {error}");
        let permission = matches!(
            &error,
            Error::Store {
                reason: dspinlock::StoreFailure::PermissionDenied(_),
                ..
            } | Error::RedisNotInitialized { .. }
        );
        assert!(permission && !logs::leaks(Some(&error)), "{user}: {error:?}");
    }
    assert!(server.keys().is_empty());
}

#[test]
fn a_state_that_is_none_is_left_as_it_is() {
    logs::listen();
    let server = Redis::start();
    let worker = Worker::start(&server.url());
    let pool = Pool::open(&server.url()).unwrap();
    let explicit = || HashDSpinlock::new("example").unwrap().pool(&pool);
    let name = explicit().key();
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
        for function in ["shared", "shared_each"] {
            let call = worker.call(&Job::new(function, "example"));
            assert_eq!(call.story(), (0, Err(variant.to_owned())), "{state:?}");
        }
        expect(&explicit().acquire_blocking().map(|_| ()).unwrap_err(), variant);
        assert_eq!(server.get(&name).as_deref(), Some(state), "it was overwritten");
    }
    server.raw(&["DEL", &name]);
    server.raw(&["RPUSH", &name, "secret"]);
    assert_eq!(
        worker.call(&Job::new("shared", "example")).story(),
        (0, Err(unparsed.to_owned()))
    );
    expect(&explicit().acquire_blocking().map(|_| ()).unwrap_err(), unparsed);
    server.raw(&["LLEN", &name]);
    // Deleting is what a person can do about it.
    assert!(explicit().delete_state_blocking().unwrap());
    assert!(worker.call(&Job::new("shared", "example")).end().is_ok());
}

#[test]
fn a_value_that_is_none_counts_as_absent() {
    let server = Redis::start();
    let worker = Worker::start(&server.url());
    for function in ["cached", "shared"] {
        let job = Job::new(function, "example");
        assert_eq!(worker.call(&job).story().0, 1);
        let value = server
            .keys()
            .into_iter()
            .find(|key| key.starts_with('{'))
            .unwrap();
        let whole = server.bytes(&value).unwrap();
        let (newer, torn) = ([b"dspinlock2", &whole[10..]].concat(), &whole[..whole.len() - 1]);
        let changed = [torn, b"?"].concat();
        for garbage in [b"", &b"garbage"[..], b"\n", &newer, torn, &changed] {
            server.raw(&[b"SET", value.as_bytes(), garbage]);
            let story = worker.call(&job).story();
            assert!(
                story.0 == 1 && story.1.is_ok(),
                "{function}, {garbage:?}: {story:?}"
            );
            assert_eq!(worker.call(&job).story().0, 0, "and the new value is kept");
        }
        server.raw(&["DEL", &value]);
        server.raw(&["RPUSH", &value, "a"]);
        assert_eq!(worker.call(&job).story().0, 1, "{function}, a list");
        assert_eq!(worker.call(&job).story().0, 0);
        server.raw(&["FLUSHALL"]);
    }
}

#[test]
fn urls_that_are_none() {
    logs::listen();
    for url in [
        "",
        "secret",
        "http://user:secret@localhost",
        "redis://user:secret@localhost:99999",
        "redis://user:secret@localhost/secret",
        "redis://user:secret@",
        "redis+other://secret@localhost",
        "redis://localhost?protocol=secret",
        "redis+unix:///socket?db=secret",
    ] {
        let error = Pool::open(url).map(|_| ()).expect_err(url);
        expect(&error, "Configuration");
    }
    let worker = Worker::start("http://user:secret@localhost");
    assert_eq!(
        worker.call(&Job::new("cached", "a")).story(),
        (0, Err("Configuration".to_owned()))
    );
}

#[test]
fn places_where_no_embedded_store_can_be() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "a file, not a folder").unwrap();
    for path in [
        // Read-only for everybody, root included.
        "/proc/dspinlock/locks.db".to_owned(),
        "/proc/locks.db".to_owned(),
        format!("{}/locks.db", file.display()),
        folder.path().display().to_string(),
    ] {
        let error = refused(&format!("sqlite:{path}"));
        println!("{path}: {error}");
        assert!(!logs::leaks(Some(&error)));
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "a file, not a folder");
}

#[test]
fn a_slip_of_the_pen_makes_no_file() {
    for url in ["sqlite::memory", "sqlite::memory::", "sqlite:~/locks.sqlite"] {
        expect(&refused(url), "Configuration");
    }
    assert!(!std::path::Path::new(":memory").exists() && !std::path::Path::new("~").exists());
}

#[test]
fn files_that_are_not_ours() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text.db");
    let content = "no database, but a person's secret notes. ".repeat(100);
    fs::write(&text, &content).unwrap();
    expect(&refused(&format!("sqlite:{}", text.display())), "Configuration");
    assert_eq!(fs::read_to_string(&text).unwrap(), content);

    let foreign = folder.path().join("foreign.db").display().to_string();
    sqlite(
        &foreign,
        "create table notes (text); insert into notes values ('secret')",
    );
    expect(&refused(&format!("sqlite:{foreign}")), "Configuration");
    assert_eq!(sqlite(&foreign, "select name from sqlite_master"), ["('notes',)"]);

    let newer = folder.path().join("newer.db").display().to_string();
    let pool = Pool::open(&format!("sqlite:{newer}")).unwrap();
    drop(
        HashDSpinlock::new("a")
            .unwrap()
            .pool(&pool)
            .acquire_blocking()
            .unwrap(),
    );
    drop(pool);
    sqlite(&newer, "pragma user_version = 9999");
    let error = refused(&format!("sqlite:{newer}"));
    expect(&error, "Configuration");
    assert!(error.to_string().contains("newer"), "{error}");
}

/// Runs statements with another program's SQLite.
fn sqlite(path: &str, statements: &str) -> Vec<String> {
    let script = "
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as base:
    for statement in sys.argv[2].split(';'):
        for row in base.execute(statement):
            print(row)
base.close()
";
    dspinlock_testkit::Python::run(script, &[path, statements])
}
