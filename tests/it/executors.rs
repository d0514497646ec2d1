//! A handle is bound to no runtime: it works in the next test, in plain threads, and under another executor.

use std::time::Duration;

use dspinlock::{Acquired, Error, HashDSpinlock, Pool, dspinlock};
use futures_executor::{LocalPool, block_on};
use tokio::runtime::{Builder, Runtime};

use crate::attribute::caching::in_memory;
use crate::common::store::Store;

/// Every feature of a handle that waits or beats.
async fn exercise(pool: Pool) -> u64 {
    let lock = HashDSpinlock::new("example").unwrap().pool(&pool);
    let Acquired::Locked(lease) = lock.acquire().await.unwrap() else {
        panic!("nothing is cached");
    };
    let brief = lock
        .clone()
        .wait(dspinlock::Wait::AtMost(Duration::from_millis(50)));
    assert!(matches!(
        brief.acquire().await,
        Err(Error::SpinlockTriesExceeded { .. })
    ));
    let fence = lease.fence();
    lease.release().await.unwrap();
    assert!(lock.delete_state().await.unwrap());
    fence
}

/// Without timers and without IO of its own.
fn bare() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

fn full() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

#[test]
fn a_handle_outlives_the_runtime_in_which_it_was_made() {
    for store in Store::each() {
        let first = full();
        let pool = first.block_on(async {
            let pool = Pool::open(&store.url()).unwrap();
            exercise(pool.clone()).await;
            pool
        });
        drop(first);
        let mut fences = vec![full().block_on(exercise(pool.clone()))];
        fences.push(bare().block_on(exercise(pool.clone())));
        let handle = pool.clone();
        fences.push(std::thread::spawn(|| block_on(exercise(handle))).join().unwrap());
        fences.push(LocalPool::new().run_until(exercise(pool.clone())));
        fences.push(bare().block_on(exercise(pool)));
        assert!(fences.is_sorted(), "{fences:?}");
    }
}

#[test]
fn a_blocking_call_inside_a_runtime_does_not_deadlock() {
    for store in Store::each() {
        let pool = Pool::open(&store.url()).unwrap();
        let lock = HashDSpinlock::new("example").unwrap().pool(&pool);
        for runtime in [bare(), full()] {
            let lock = lock.clone();
            runtime.block_on(async move {
                let Acquired::Locked(lease) = lock.acquire_blocking().unwrap() else {
                    panic!("nothing is cached");
                };
                lease.release_blocking().unwrap();
            });
        }
    }
}

#[dspinlock(key = "shared between tests", cached_if_computed, on_error = panic)]
async fn answer() -> u32 {
    // Needs no runtime, so that every executor can run it.
    42
}

#[tokio::test]
async fn the_attribute_works_in_one_test() {
    in_memory();
    assert_eq!(answer().await, 42);
}

#[tokio::test]
async fn and_in_the_next() {
    in_memory();
    assert_eq!(answer().await, 42);
}

#[test]
fn and_under_another_executor() {
    in_memory();
    assert_eq!(block_on(answer()), 42);
}

#[tokio::test(start_paused = true)]
async fn a_paused_clock_of_the_callers_runtime_is_of_no_matter() {
    let pool = Pool::open("sqlite::memory:").unwrap();
    let lock = HashDSpinlock::new("example").unwrap().pool(&pool);
    let holder = lock.clone();
    let thread = std::thread::spawn(move || {
        let lease = holder.acquire_blocking().unwrap();
        std::thread::sleep(Duration::from_millis(300));
        drop(lease);
    });
    std::thread::sleep(Duration::from_millis(100));
    assert!(matches!(lock.acquire().await.unwrap(), Acquired::Locked(_)));
    thread.join().unwrap();
}

/// A tokio task has a budget for what it waits for, which is filled up only when it yields; a sync call never does.
#[test]
fn any_number_of_sync_calls_may_be_made_inside_a_tokio_task() {
    for store in Store::each() {
        let pool = Pool::open(&store.url()).unwrap();
        for runtime in [
            full(),
            Builder::new_current_thread().enable_all().build().unwrap(),
        ] {
            let pool = pool.clone();
            let task = runtime.spawn(async move {
                for _ in 0..500 {
                    let lock = HashDSpinlock::new("sync").unwrap().pool(&pool);
                    let Acquired::Locked(lease) = lock.acquire_blocking().unwrap() else {
                        panic!("nothing is cached");
                    };
                    lease.release_blocking().unwrap();
                }
            });
            runtime.block_on(task).unwrap();
        }
    }
}
