//! Holders whose runtime is shut down, or whose lease is leaked with `mem::forget`.

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

/// The lock `name` with two pools that share nothing, as in two processes.
fn locks(store: &Store, name: &str) -> [HashDSpinlock; 2] {
    [(); 2].map(|()| {
        HashDSpinlock::new(name)
            .pool(&Pool::open(&store.url()).expect("a store"))
            .lease(LEASE)
            .wait(Wait::AtMost(Duration::from_secs(30)))
    })
}

fn time_to_acquire(lock: &HashDSpinlock) -> Duration {
    let start = Instant::now();
    assert!(matches!(lock.acquire_blocking(), Ok(Acquired::Locked(_))));
    start.elapsed()
}

#[test]
fn a_runtime_that_is_shut_down_frees_its_keys_within_the_lease() {
    type Shutdown = fn(Runtime);
    let shutdowns: [(&str, Shutdown); 3] = [
        ("dropped", drop),
        ("shut down in the background", Runtime::shutdown_background),
        ("shut down with a timeout", |runtime| {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }),
    ];
    Store::on_each(|store| {
        for (how, shut_down) in shutdowns {
            let [lock, next] = locks(&store, how);
            let (send, held) = channel();
            let runtime = runtime();
            runtime.spawn(async move {
                let lease = lock.acquire().await;
                send.send(()).expect("the receiver exists");
                pending::<()>().await;
                drop(lease);
            });
            held.recv().expect("the lock is acquired");
            shut_down(runtime);
            let elapsed = time_to_acquire(&next);
            println!("a runtime {how} on {}: free after {elapsed:.1?}", store.url());
            assert!(elapsed <= LEASE, "{how}: {elapsed:?}");
        }
    });
}

#[test]
fn a_leaked_lease_expires_after_max_block_time_and_the_lease() {
    let max_block_time = Duration::from_millis(1500);
    Store::on_each(|store| {
        let [lock, next] = locks(&store, "leaked lease").map(|lock| lock.max_block_time(max_block_time));
        let start = Instant::now();
        forget(lock.acquire_blocking());
        time_to_acquire(&next);
        let elapsed = start.elapsed();
        println!("a leaked lease on {}: free after {elapsed:.1?}", store.url());
        assert!(
            elapsed >= max_block_time - LEASE,
            "the lease was not renewed: {elapsed:?}"
        );
        assert!(
            elapsed <= max_block_time + LEASE + Duration::from_millis(500),
            "{elapsed:?}"
        );
    });
}

#[test]
fn a_leaked_call_expires_after_max_block_time_and_the_lease() {
    let max_block_time = Duration::from_millis(1500);
    Store::on_each(|store| {
        let [lock, next] = locks(&store, "leaked call").map(|lock| lock.max_block_time(max_block_time));
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
        time_to_acquire(&next);
        let elapsed = start.elapsed();
        println!("a leaked call on {}: free after {elapsed:.1?}", store.url());
        assert!(
            elapsed <= max_block_time + LEASE + Duration::from_millis(500),
            "{elapsed:?}"
        );
    });
}
