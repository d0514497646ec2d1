//! The thread of the store: order of steps, time limit, and shutdown.

use std::time::{Duration, Instant};

use dspinlock_runtime::StoreFailure;
use dspinlock_runtime::internals::clock;
use dspinlock_runtime::internals::protocol::Reply;
use dspinlock_runtime::internals::store::embedded::{Embedded, TIME_LIMIT};
use dspinlock_runtime::internals::store::{Failure, Store};
use dspinlock_testkit::eventually;
use rusqlite::Connection;
use tokio::time::timeout;

use crate::{abort, acquire, grant, key, open, publish, read, step, temporary_path, wait};

/// A connection that holds the write lock of the file until `COMMIT`.
fn write_lock(path: &std::path::Path) -> Connection {
    let connection = Connection::open(path).expect("the file opens");
    connection
        .execute_batch("BEGIN IMMEDIATE")
        .expect("the write lock is free");
    connection
}

#[test]
fn a_locked_file_is_an_error_after_the_time_limit() {
    let (_folder, path) = temporary_path();
    let store = Embedded::open(&path, Duration::from_millis(200)).expect("the store opens");
    let writer = write_lock(&path);
    let started = Instant::now();
    let reply = step(&store, &key(1), acquire("a"));
    assert_eq!(reply, Err(Failure::Refused(StoreFailure::Timeout)));
    assert!(started.elapsed() >= Duration::from_millis(200));
    writer.execute_batch("COMMIT").expect("the commit succeeds");
    grant(&store, &key(1), "a");
}

#[test]
fn a_read_does_not_wait_for_a_writer() {
    let (_folder, path) = temporary_path();
    let store = open(&path).expect("the store opens");
    let fence = grant(&store, &key(1), "a");
    assert_eq!(
        step(&store, &key(1), publish(fence, b"value")),
        Ok(Reply::Published)
    );
    grant(&store, &key(3), "a");
    let writer = write_lock(&path);
    // ACQUIRE on a held key writes nothing either.
    assert!(matches!(step(&store, &key(3), acquire("b")), Ok(Reply::Busy(_))));
    let blocked = store.step(&key(2), acquire("a"), clock::Instant::now());
    assert!(matches!(step(&store, &key(1), read()), Ok(Reply::Hit(..))));
    writer.execute_batch("COMMIT").expect("the commit succeeds");
    let reply = wait(blocked);
    assert!(matches!(reply, Ok(Reply::Acquired(_))), "{reply:?}");
}

#[test]
fn blocked_steps_run_in_order() {
    let (_folder, path) = temporary_path();
    let store = open(&path).expect("the store opens");
    for round in 0..300 {
        let (writer, tag) = (write_lock(&path), round.to_string());
        let key = key((round % 256) as u8);
        // The write lock is released between two of these steps.
        let release =
            std::thread::spawn(move || writer.execute_batch("COMMIT").expect("the commit succeeds"));
        let steps: Vec<_> = (0..10)
            .flat_map(|_| {
                [
                    store.step(&key, acquire(&tag), clock::Instant::now()),
                    store.step(&key, abort(&tag), clock::Instant::now()),
                ]
            })
            .collect();
        for (at, reply) in steps.into_iter().map(wait).enumerate() {
            let expected = match at % 2 {
                0 => matches!(reply, Ok(Reply::Acquired(_))),
                _ => reply == Ok(Reply::Aborted(true)),
            };
            assert!(expected, "step {at} of round {round}: {reply:?}");
        }
        release.join().expect("the commit does not panic");
    }
}

#[test]
fn a_step_runs_without_being_polled() {
    let (_folder, path) = temporary_path();
    let store = open(&path).expect("the store opens");
    grant(&store, &key(1), "a");
    drop(store.step(&key(1), abort("a"), clock::Instant::now()));
    // Steps run in order, so the abort has run.
    grant(&store, &key(1), "b");
}

#[test]
fn a_pending_step_runs_after_the_store_is_dropped() {
    let (_folder, path) = temporary_path();
    let store = open(&path).expect("the store opens");
    let writer = write_lock(&path);
    let mut last = store.step(&key(1), acquire("a"), clock::Instant::now());
    drop(store);
    let early = wait(async { timeout(Duration::from_millis(100), &mut last).await });
    assert!(early.is_err(), "the step returned early: {early:?}");
    writer.execute_batch("COMMIT").expect("the commit succeeds");
    assert!(matches!(wait(last), Ok(Reply::Acquired(_))));
}

#[test]
#[cfg(target_os = "linux")]
fn the_file_is_closed_after_the_store_is_dropped() {
    let (_folder, path) = temporary_path();
    let is_open = || {
        let files = std::fs::read_dir("/proc/self/fd").expect("Linux has /proc");
        files
            .flatten()
            .any(|file| std::fs::read_link(file.path()).is_ok_and(|target| target == path))
    };
    let store = open(&path).expect("the store opens");
    grant(&store, &key(1), "a");
    assert!(is_open());
    drop(store);
    eventually("the file to be closed", || (!is_open()).then_some(()));
}

#[test]
fn the_duration_of_a_step_is_printed() {
    const STEPS: u32 = 1000;
    let (_folder, path) = temporary_path();
    let store = Embedded::open(&path, TIME_LIMIT).expect("the store opens");
    let fence = grant(&store, &key(1), "a");
    assert_eq!(
        step(&store, &key(1), publish(fence, &[0; 1000])),
        Ok(Reply::Published)
    );
    let begin = Instant::now();
    for _ in 0..STEPS {
        assert!(matches!(step(&store, &key(1), read()), Ok(Reply::Hit(..))));
    }
    println!("read: {:?}", begin.elapsed() / STEPS);
    let begin = Instant::now();
    for round in 0..STEPS {
        let (key, tag) = (key(round as u8), format!("{round}"));
        let fence = grant(&store, &key, &tag);
        assert_eq!(
            step(&store, &key, publish(fence, &[0; 1000])),
            Ok(Reply::Published)
        );
    }
    println!("acquire or publish: {:?}", begin.elapsed() / (2 * STEPS));
}
