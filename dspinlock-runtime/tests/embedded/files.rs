//! The path of the file, and the rows in it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dspinlock_runtime::Error;
use dspinlock_runtime::internals::protocol::Reply;
use dspinlock_runtime::internals::store::embedded::{Embedded, TIME_LIMIT};
use dspinlock_testkit::eventually;
use rusqlite::Connection;

use crate::{child, grant, key, open, publish, read, step, temporary_path};

#[test]
fn the_default_path_is_in_the_state_directory_of_the_user() {
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
    let (_folder, path) = temporary_path();
    let (one, two) = (
        open(&path).expect("the store opens"),
        open(&path).expect("the store opens"),
    );
    let fence = grant(&one, &key(1), "a");
    assert!(matches!(
        step(&two, &key(1), crate::acquire("b")),
        Ok(Reply::Busy(_))
    ));
    assert_eq!(
        step(&one, &key(1), publish(fence, b"value")),
        Ok(Reply::Published)
    );
    assert!(matches!(step(&two, &key(1), read()), Ok(Reply::Hit(..))));
    drop((one, two));
    let three = open(&path).expect("the store opens");
    assert!(matches!(step(&three, &key(1), read()), Ok(Reply::Hit(..))));
}

#[test]
fn special_names_of_sqlite_are_ordinary_paths() {
    for name in [":memory:", "file:x?mode=memory", "a b'c%20"] {
        let (folder, _) = temporary_path();
        let path = folder.path().join(name);
        grant(&open(&path).expect("the store opens"), &key(1), "a");
        assert!(path.is_file(), "{name}");
    }
    assert!(matches!(
        open(Path::new("")),
        Err(Error::EmbeddedNotInitialized { .. })
    ));
}

#[test]
#[cfg(unix)]
fn every_store_switches_to_the_new_file_after_a_deletion() {
    for name in ["locks.sqlite", "locks.sqlite-wal", "locks.sqlite-shm"] {
        // Deletes the file with both companions, or with one of them.
        let (folder, path) = temporary_path();
        let (one, two) = (
            open(&path).expect("the store opens"),
            open(&path).expect("the store opens"),
        );
        let old = grant(&one, &key(1), "a");
        let companions = ["locks.sqlite-wal", "locks.sqlite-shm"];
        for removed in companions.iter().filter(|companion| **companion != name) {
            std::fs::remove_file(folder.path().join(removed)).expect("the companion file exists");
        }
        std::fs::remove_file(&path).expect("the file exists");
        let new = grant(&two, &key(1), "b");
        assert!(new.fence > old.fence);
        assert_eq!(step(&one, &key(1), crate::renew(old)), Ok(Reply::Lost));
        assert!(matches!(
            step(&one, &key(1), crate::acquire("c")),
            Ok(Reply::Busy(_))
        ));
        assert_eq!(step(&two, &key(1), publish(new, b"value")), Ok(Reply::Published));
        assert!(matches!(step(&one, &key(1), read()), Ok(Reply::Hit(..))));
        drop((one, two));
        let three = open(&path).expect("the store opens");
        assert!(matches!(step(&three, &key(1), read()), Ok(Reply::Hit(..))));
    }
}

#[test]
fn expired_rows_are_deleted() {
    let (_folder, path) = temporary_path();
    let clock = Arc::new(AtomicU64::new(1_000_000_000_000));
    let store = || {
        let clock = Arc::clone(&clock);
        Embedded::open_with_clock(&path, TIME_LIMIT, Arc::new(move || clock.load(Ordering::SeqCst)))
            .expect("the store opens")
    };
    let rows = || -> i64 {
        let connection = Connection::open(&path).expect("the file opens");
        let rows = connection.query_row("SELECT count(*) FROM lock_a", [], |row| row.get(0));
        rows.expect("the number of rows")
    };
    let first = store();
    for number in 0..100 {
        grant(&first, &key(number), "a");
    }
    assert_eq!(rows(), 100);
    clock.fetch_add(601_000_000, Ordering::SeqCst);
    // The store deletes expired rows when it is idle after a step.
    grant(&first, &key(200), "a");
    eventually("expired rows to be deleted after a step", || {
        (rows() == 1).then_some(())
    });

    for number in 0..100 {
        grant(&first, &key(number), "a");
    }
    drop(first);
    clock.fetch_add(601_000_000, Ordering::SeqCst);
    let _second = store();
    eventually("expired rows to be deleted after opening", || {
        (rows() == 0).then_some(())
    });
}

#[test]
fn a_clock_that_is_set_back_lengthens_no_lease_by_more_than_itself() {
    const DAY: u64 = 86_400_000_000;
    let (_folder, path) = temporary_path();
    let clock = Arc::new(AtomicU64::new(10 * DAY));
    let injected = Arc::clone(&clock);
    let store = Embedded::open_with_clock(
        &path,
        TIME_LIMIT,
        Arc::new(move || injected.load(Ordering::SeqCst)),
    )
    .expect("the store opens");
    // Its holder is dead.
    let old = grant(&store, &key(1), "a");
    clock.fetch_sub(9 * DAY, Ordering::SeqCst);
    let Ok(Reply::Busy(existing)) = step(&store, &key(1), crate::acquire("b")) else {
        panic!("the lease has not expired")
    };
    assert_eq!(existing.remaining, Some(600_000));
    clock.fetch_add(601_000_000, Ordering::SeqCst);
    assert!(grant(&store, &key(1), "b").fence < old.fence);
}
