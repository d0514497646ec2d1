//! Where the file is, and what becomes of the rows in it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dspinlock_runtime::Error;
use dspinlock_runtime::internals::protocol::Reply;
use dspinlock_runtime::internals::store::embedded::{Embedded, TIME_LIMIT};
use dspinlock_testkit::eventually;
use rusqlite::Connection;

use crate::{child, grant, key, open, place, publish, read, step};

#[test]
fn the_default_path_is_in_the_users_state_folder() {
    let default_path = |environment: &[(&str, &str)]| {
        let mut command = child::command("default_path");
        command.env_remove("XDG_STATE_HOME").env("HOME", "/home/somebody");
        command.envs(environment.iter().copied());
        child::output(command)
    };
    if cfg!(target_os = "linux") {
        let usual = "Ok(\"/home/somebody/.local/state/dspinlock/locks.sqlite\")";
        assert_eq!(default_path(&[]), usual);
        assert_eq!(default_path(&[("XDG_STATE_HOME", "not/absolute")]), usual);
        assert_eq!(
            default_path(&[("XDG_STATE_HOME", "/state")]),
            "Ok(\"/state/dspinlock/locks.sqlite\")"
        );
    }
}

#[test]
fn stores_of_one_file_see_each_other() {
    let (_folder, path) = place();
    let (one, two) = (open(&path).expect("a store"), open(&path).expect("a store"));
    let fence = grant(&one, &key(1), "a");
    assert!(matches!(
        step(&two, &key(1), crate::acquire("b")),
        Ok(Reply::Busy(_))
    ));
    assert_eq!(
        step(&one, &key(1), publish("a", fence, b"value")),
        Ok(Reply::Published)
    );
    assert!(matches!(step(&two, &key(1), read()), Ok(Reply::Hit(..))));
    drop((one, two));
    let three = open(&path).expect("a store");
    assert!(matches!(step(&three, &key(1), read()), Ok(Reply::Hit(..))));
}

#[test]
fn stores_in_memory_do_not_see_each_other() {
    let (one, two) = (Embedded::memory(), Embedded::memory());
    grant(&one.expect("a store"), &key(1), "a");
    grant(&two.expect("a store"), &key(1), "a");
}

#[test]
fn special_names_of_sqlite_are_paths_like_others() {
    for name in [":memory:", "file:x?mode=memory", "a b'c%20"] {
        let (folder, _) = place();
        let path = folder.path().join(name);
        grant(&open(&path).expect("a store"), &key(1), "a");
        assert!(path.is_file(), "{name}");
    }
    assert!(matches!(
        open(Path::new("")),
        Err(Error::RedisNotInitialized { .. } | Error::Configuration(_))
    ));
}

#[test]
#[cfg(unix)]
fn a_file_that_was_deleted_is_followed_by_all() {
    for name in ["locks.sqlite", "locks.sqlite-wal", "locks.sqlite-shm"] {
        // With or without its companions.
        let (folder, path) = place();
        let (one, two) = (open(&path).expect("a store"), open(&path).expect("a store"));
        let old = grant(&one, &key(1), "a");
        let companions = ["locks.sqlite-wal", "locks.sqlite-shm"];
        for gone in companions.iter().filter(|companion| **companion != name) {
            std::fs::remove_file(folder.path().join(gone)).expect("a companion");
        }
        std::fs::remove_file(&path).expect("the file");
        let new = grant(&two, &key(1), "b");
        assert!(new > old);
        assert_eq!(step(&one, &key(1), crate::renew("a", old)), Ok(Reply::Lost));
        assert!(matches!(
            step(&one, &key(1), crate::acquire("c")),
            Ok(Reply::Busy(_))
        ));
        assert_eq!(
            step(&two, &key(1), publish("b", new, b"value")),
            Ok(Reply::Published)
        );
        assert!(matches!(step(&one, &key(1), read()), Ok(Reply::Hit(..))));
        drop((one, two));
        let three = open(&path).expect("a store");
        assert!(matches!(step(&three, &key(1), read()), Ok(Reply::Hit(..))));
    }
}

#[test]
fn rows_that_are_over_are_swept() {
    let (_folder, path) = place();
    let clock = Arc::new(AtomicU64::new(1_000_000_000_000));
    let store = || {
        let clock = Arc::clone(&clock);
        Embedded::open_with_clock(&path, TIME_LIMIT, Arc::new(move || clock.load(Ordering::SeqCst)))
            .expect("a store")
    };
    let rows = || -> i64 {
        let connection = Connection::open(&path).expect("the file");
        let rows = connection.query_row("SELECT count(*) FROM lock", [], |row| row.get(0));
        rows.expect("a number")
    };
    let first = store();
    for number in 0..100 {
        grant(&first, &key(number), "a");
    }
    assert_eq!(rows(), 100);
    clock.fetch_add(601_000_000, Ordering::SeqCst);
    // One that is live, and after it, when there is nothing else to do, all that are over.
    grant(&first, &key(200), "a");
    eventually("the sweep after a step", || (rows() == 1).then_some(()));

    for number in 0..100 {
        grant(&first, &key(number), "a");
    }
    drop(first);
    clock.fetch_add(601_000_000, Ordering::SeqCst);
    let _second = store();
    eventually("the sweep after an open", || (rows() == 0).then_some(()));
}
