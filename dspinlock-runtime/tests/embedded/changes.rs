//! `Store::changed`: steps of this process and of other processes wake the waiters.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use dspinlock_runtime::internals::clock;
use dspinlock_runtime::internals::protocol::Reply;
use dspinlock_runtime::internals::store::embedded::{Embedded, TIME_LIMIT};
use dspinlock_runtime::internals::store::{Boxed, Store};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::{abort, grant, key, open, publish, renew, step, temporary_path, wait};

/// Much longer than a wake-up takes.
const TIMEOUT: Duration = Duration::from_secs(60);

fn assert_resolves(changed: Boxed<()>) {
    let resolved = wait(async { timeout(TIMEOUT, changed).await });
    resolved.expect("the waiter is woken");
}

/// Two stores on one file. SQLite treats them like stores in two processes.
fn two_stores() -> (TempDir, Embedded, Embedded) {
    let (folder, path) = temporary_path();
    let store = || open(&path).expect("the store opens");
    (folder, store(), store())
}

fn is_pending(changed: &mut Boxed<()>) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    pin!(changed).as_mut().poll(&mut context) == Poll::Pending
}

#[test]
fn a_step_of_another_process_wakes_a_waiter() {
    let (_folder, waiter, writer) = two_stores();
    let mut latencies = Vec::new();
    for round in 0..50 {
        let tag = round.to_string();
        let changed = waiter.changed();
        assert_eq!(step(&waiter, &key(round), crate::read()), Ok(Reply::Miss));
        grant(&writer, &key(round), &tag);
        let begin = Instant::now();
        assert_resolves(changed);
        latencies.push(begin.elapsed());
    }
    latencies.sort_unstable();
    println!("wake-up: median {:?}, longest {:?}", latencies[25], latencies[49]);
}

#[test]
fn a_change_after_the_recheck_wakes_a_waiter() {
    let (_folder, waiter, writer) = two_stores();
    for round in 0..200 {
        let tag = round.to_string();
        let fence = grant(&writer, &key(1), &tag);
        let release = writer.step(&key(1), publish(fence, tag.as_bytes()), clock::Instant::now());
        // Races with the calls below.
        let racing = std::thread::spawn(|| wait(release));
        loop {
            let changed = waiter.changed();
            if step(&waiter, &key(1), crate::read()) != Ok(Reply::Miss) {
                break;
            }
            // A spurious wake-up is harmless. A lost wake-up fails the test.
            assert_resolves(changed);
        }
        assert_eq!(
            racing.join().expect("the publish does not panic"),
            Ok(Reply::Published)
        );
    }
}

#[test]
fn a_step_that_frees_the_key_wakes_and_a_renewal_does_not() {
    // The clock advances by a second with each step, so that each renewal writes a later expiry.
    let clock = AtomicU64::new(1_000_000_000_000);
    let clock = Arc::new(move || clock.fetch_add(1_000_000, Ordering::SeqCst));
    let (_folder, path) = temporary_path();
    let store = Embedded::open_with_clock(&path, TIME_LIMIT, clock).expect("the store opens");
    let mut changed = store.changed();
    assert!(is_pending(&mut changed));
    let fence = grant(&store, &key(1), "a");
    assert_resolves(changed);

    let mut changed = store.changed();
    assert_eq!(step(&store, &key(1), renew(fence)), Ok(Reply::Renewed));
    assert_eq!(step(&store, &key(2), abort("b")), Ok(Reply::Aborted(false)));
    assert!(is_pending(&mut changed), "no key became free");
    assert_eq!(
        step(&store, &key(1), publish(fence, b"value")),
        Ok(Reply::Published)
    );
    assert_resolves(changed);
}

#[test]
fn a_change_before_the_call_does_not_wake() {
    let (_folder, waiter, writer) = two_stores();
    drop(waiter.changed());
    grant(&writer, &key(1), "a");
    // After a read, the store's thread has seen the grant and the dropped waiter.
    assert!(matches!(step(&waiter, &key(1), crate::read()), Ok(Reply::Miss)));
    let mut changed = waiter.changed();
    assert!(matches!(step(&waiter, &key(1), crate::read()), Ok(Reply::Miss)));
    assert!(is_pending(&mut changed));
}

#[test]
fn every_waiter_is_woken() {
    let (_folder, waiter, writer) = two_stores();
    let all: Vec<_> = (0..100).map(|_| waiter.changed()).collect();
    drop(waiter.changed());
    assert_eq!(step(&waiter, &key(1), crate::read()), Ok(Reply::Miss));
    grant(&writer, &key(1), "a");
    all.into_iter().for_each(assert_resolves);
}

#[test]
fn dropping_the_store_wakes_a_waiter() {
    let (_folder, path) = temporary_path();
    let store = open(&path).expect("the store opens");
    let changed = store.changed();
    drop(store);
    assert_resolves(changed);
}
