//! Holders that vanish without a word: their runtime ends, or their lease is forgotten.

use std::future::pending;
use std::mem::forget;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use dspinlock::{Acquired, HashDSpinlock, Pool, Wait};
use tokio::runtime::{Builder, Runtime};

use crate::common::store::Store;

const LEASE: Duration = Duration::from_millis(600);

fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

/// The lock `name`, as two processes have it: the pools share nothing.
fn locks(store: &Store, name: &str) -> [HashDSpinlock; 2] {
    [(); 2].map(|()| {
        HashDSpinlock::new(name)
            .expect("a text is a key")
            .pool(&Pool::open(&store.url()).expect("a store"))
            .lease(LEASE)
            .wait(Wait::AtMost(Duration::from_secs(30)))
    })
}

fn taken_after(lock: &HashDSpinlock) -> Duration {
    let start = Instant::now();
    assert!(matches!(lock.acquire_blocking(), Ok(Acquired::Locked(_))));
    start.elapsed()
}

#[test]
fn a_runtime_that_ends_with_a_holder_in_it_frees_the_key_within_the_lease() {
    type End = fn(Runtime);
    let ends: [(&str, End); 3] = [
        ("dropped", drop),
        ("shut down in the background", Runtime::shutdown_background),
        ("shut down in time", |runtime| {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }),
    ];
    for store in Store::each() {
        for (how, end) in ends {
            let [lock, next] = locks(&store, how);
            let (send, held) = channel();
            let runtime = runtime();
            runtime.spawn(async move {
                let lease = lock.acquire().await;
                send.send(()).expect("the test listens");
                pending::<()>().await;
                drop(lease);
            });
            held.recv().expect("it is held");
            end(runtime);
            let took = taken_after(&next);
            println!("a runtime {how} on {}: free after {took:.1?}", store.url());
            assert!(took <= LEASE, "{how}: {took:?}");
        }
    }
}

#[test]
fn a_lease_that_is_forgotten_is_free_after_max_block_time_and_the_lease() {
    let longest = Duration::from_millis(1500);
    for store in Store::each() {
        let [lock, next] = locks(&store, "forgotten").map(|lock| lock.max_block_time(longest));
        let start = Instant::now();
        forget(lock.acquire_blocking());
        taken_after(&next);
        let took = start.elapsed();
        println!("a forgotten lease on {}: free after {took:.1?}", store.url());
        assert!(took >= longest - LEASE, "its heart did not beat: {took:?}");
        assert!(took <= longest + LEASE + Duration::from_millis(500), "{took:?}");
    }
}

#[test]
fn a_call_that_is_forgotten_in_its_body_is_free_too() {
    let longest = Duration::from_millis(1500);
    for store in Store::each() {
        let [lock, next] = locks(&store, "frozen").map(|lock| lock.max_block_time(longest));
        let start = Instant::now();
        let runtime = runtime();
        runtime.block_on(async {
            let mut call = Box::pin(async {
                let _lease = lock.acquire().await;
                pending::<()>().await;
            });
            let _ = tokio::time::timeout(Duration::from_millis(300), &mut call).await;
            forget(call);
        });
        drop(runtime);
        taken_after(&next);
        let took = start.elapsed();
        println!("a forgotten call on {}: free after {took:.1?}", store.url());
        assert!(took <= longest + LEASE + Duration::from_millis(500), "{took:?}");
    }
}
