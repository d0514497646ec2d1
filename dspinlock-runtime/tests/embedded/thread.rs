//! The store's thread: order, time limit, end.

use std::time::{Duration, Instant};

use dspinlock_runtime::internals::error::StoreFailure;
use dspinlock_runtime::internals::protocol::Reply;
use dspinlock_runtime::internals::store::embedded::{Embedded, TIME_LIMIT};
use dspinlock_runtime::internals::store::{Failure, Route, Store};
use dspinlock_testkit::eventually;
use rusqlite::Connection;
use tokio::time::timeout;

use crate::{abort, acquire, grant, key, open, place, publish, read, step, wait};

/// A process that has the right to write and does not let go of it.
fn hog(path: &std::path::Path) -> Connection {
    let connection = Connection::open(path).expect("the file");
    connection
        .execute_batch("BEGIN IMMEDIATE")
        .expect("the right to write");
    connection
}

#[test]
fn a_busy_file_is_an_error_after_the_time_limit() {
    let (_folder, path) = place();
    let store = Embedded::open(&path, Duration::from_millis(200)).expect("a store");
    let hog = hog(&path);
    let asked = Instant::now();
    let reply = step(&store, &key(1), acquire("a"));
    assert_eq!(reply, Err(Failure::Refused(StoreFailure::Timeout)));
    assert!(asked.elapsed() >= Duration::from_millis(200));
    hog.execute_batch("COMMIT").expect("an end");
    grant(&store, &key(1), "a");
}

#[test]
fn who_only_reads_does_not_wait_for_writers() {
    let (_folder, path) = place();
    let store = open(&path).expect("a store");
    let fence = grant(&store, &key(1), "a");
    assert_eq!(
        step(&store, &key(1), publish("a", fence, b"value")),
        Ok(Reply::Published)
    );
    grant(&store, &key(3), "a");
    let hog = hog(&path);
    // A waiter's look writes nothing either.
    assert!(matches!(step(&store, &key(3), acquire("b")), Ok(Reply::Busy(_))));
    let blocked = store.step(&key(2), acquire("a"), &Route::Background);
    assert!(matches!(step(&store, &key(1), read()), Ok(Reply::Hit(..))));
    hog.execute_batch("COMMIT").expect("an end");
    let reply = wait(blocked);
    assert!(matches!(reply, Ok(Reply::Acquired(_))), "{reply:?}");
}

#[test]
fn blocked_steps_are_taken_in_order() {
    let (_folder, path) = place();
    let store = open(&path).expect("a store");
    for round in 0..300 {
        let (hog, tag) = (hog(&path), round.to_string());
        let key = key((round % 256) as u8);
        // The file becomes free somewhere between these steps.
        let release = std::thread::spawn(move || hog.execute_batch("COMMIT").expect("an end"));
        let steps: Vec<_> = (0..10)
            .flat_map(|_| {
                [
                    store.step(&key, acquire(&tag), &Route::Background),
                    store.step(&key, abort(&tag), &Route::Background),
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
        release.join().expect("the file is free");
    }
}

#[test]
fn steps_are_taken_without_anybody_polling() {
    let (_folder, path) = place();
    let store = open(&path).expect("a store");
    grant(&store, &key(1), "a");
    drop(store.step(&key(1), abort("a"), &Route::Background));
    // Taken in order, so the abort was before.
    grant(&store, &key(1), "b");
}

#[test]
fn what_was_asked_for_before_the_end_is_still_done() {
    let (_folder, path) = place();
    let store = open(&path).expect("a store");
    let hog = hog(&path);
    let mut last = store.step(&key(1), acquire("a"), &Route::Background);
    drop(store);
    let early = wait(async { timeout(Duration::from_millis(100), &mut last).await });
    assert!(early.is_err(), "given up: {early:?}");
    hog.execute_batch("COMMIT").expect("an end");
    assert!(matches!(wait(last), Ok(Reply::Acquired(_))));
}

#[test]
#[cfg(target_os = "linux")]
fn the_file_is_closed_after_the_store_is_dropped() {
    let (_folder, path) = place();
    let is_open = || {
        let files = std::fs::read_dir("/proc/self/fd").expect("the open files");
        files
            .flatten()
            .any(|file| std::fs::read_link(file.path()).is_ok_and(|target| target == path))
    };
    let store = open(&path).expect("a store");
    grant(&store, &key(1), "a");
    assert!(is_open());
    drop(store);
    eventually("the file to be closed", || (!is_open()).then_some(()));
}

#[test]
fn a_step_is_quick() {
    const STEPS: u32 = 1000;
    let (_folder, path) = place();
    let store = Embedded::open(&path, TIME_LIMIT).expect("a store");
    let fence = grant(&store, &key(1), "a");
    assert_eq!(
        step(&store, &key(1), publish("a", fence, &[0; 1000])),
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
            step(&store, &key, publish(&tag, fence, &[0; 1000])),
            Ok(Reply::Published)
        );
    }
    println!("acquire or publish: {:?}", begin.elapsed() / (2 * STEPS));
}
