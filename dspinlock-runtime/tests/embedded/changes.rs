//! Wake-ups: by other processes and by this one.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use dspinlock_runtime::internals::protocol::Reply;
use dspinlock_runtime::internals::store::embedded::Embedded;
use dspinlock_runtime::internals::store::{Boxed, Route, Store};
use tokio::time::timeout;

use crate::{abort, grant, key, open, place, publish, renew, step, wait};

/// Far beyond what a wake-up takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn resolves(changed: Boxed<()>) {
    let resolved = wait(async { timeout(PATIENCE, changed).await });
    resolved.expect("a wake-up");
}

fn is_pending(changed: &mut Boxed<()>) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    pin!(changed).as_mut().poll(&mut context) == Poll::Pending
}

#[test]
fn a_step_of_another_process_wakes() {
    let (_folder, path) = place();
    // Two connections are to SQLite what two processes are.
    let (here, there) = (open(&path).expect("a store"), open(&path).expect("a store"));
    let mut latencies = Vec::new();
    for round in 0..50 {
        let tag = round.to_string();
        let changed = here.changed();
        assert_eq!(step(&here, &key(round), crate::read()), Ok(Reply::Miss));
        grant(&there, &key(round), &tag);
        let begin = Instant::now();
        resolves(changed);
        latencies.push(begin.elapsed());
    }
    latencies.sort_unstable();
    println!("wake-up: median {:?}, longest {:?}", latencies[25], latencies[49]);
}

#[test]
fn what_the_look_after_the_call_does_not_see_wakes() {
    let (_folder, path) = place();
    let (here, there) = (open(&path).expect("a store"), open(&path).expect("a store"));
    for round in 0..200 {
        let tag = round.to_string();
        let fence = grant(&there, &key(1), &tag);
        let release = there.step(&key(1), publish(&tag, fence, tag.as_bytes()), &Route::Background);
        // Comes at any moment before, between or after these.
        let racing = std::thread::spawn(|| wait(release));
        loop {
            let changed = here.changed();
            if step(&here, &key(1), crate::read()) != Ok(Reply::Miss) {
                break;
            }
            // A wake-up too many does no harm; one too few ends the test.
            resolves(changed);
        }
        assert_eq!(racing.join().expect("a reply"), Ok(Reply::Published));
    }
}

#[test]
fn own_steps_wake_and_renewals_do_not() {
    // A second passes from step to step: each renewal writes a later end.
    let clock = AtomicU64::new(1_000_000_000_000);
    let clock = Arc::new(move || clock.fetch_add(1_000_000, Ordering::SeqCst));
    let store = Embedded::memory_with_clock(clock).expect("a store");
    let mut changed = store.changed();
    assert!(is_pending(&mut changed));
    let fence = grant(&store, &key(1), "a");
    resolves(changed);

    let mut changed = store.changed();
    assert_eq!(step(&store, &key(1), renew("a", fence)), Ok(Reply::Renewed));
    assert_eq!(step(&store, &key(2), abort("b")), Ok(Reply::Aborted(false)));
    assert!(is_pending(&mut changed), "nobody was set free");
    assert_eq!(
        step(&store, &key(1), publish("a", fence, b"value")),
        Ok(Reply::Published)
    );
    resolves(changed);
}

#[test]
fn what_was_before_does_not_wake() {
    let (_folder, path) = place();
    let (here, there) = (open(&path).expect("a store"), open(&path).expect("a store"));
    drop(here.changed());
    grant(&there, &key(1), "a");
    // Its thread has looked and has seen that nobody waits any more.
    assert!(matches!(step(&here, &key(1), crate::read()), Ok(Reply::Miss)));
    let mut changed = here.changed();
    assert!(matches!(step(&here, &key(1), crate::read()), Ok(Reply::Miss)));
    assert!(is_pending(&mut changed));
}

#[test]
fn many_may_wait() {
    let (_folder, path) = place();
    let (here, there) = (open(&path).expect("a store"), open(&path).expect("a store"));
    let all: Vec<_> = (0..100).map(|_| here.changed()).collect();
    drop(here.changed());
    assert_eq!(step(&here, &key(1), crate::read()), Ok(Reply::Miss));
    grant(&there, &key(1), "a");
    all.into_iter().for_each(resolves);
}

#[test]
fn the_end_of_the_store_wakes() {
    let store = Embedded::memory().expect("a store");
    let changed = store.changed();
    drop(store);
    resolves(changed);
}
