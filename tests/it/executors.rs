//! A pool is not bound to a runtime: it works on other runtimes, in plain threads, and under other executors.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use dspinlock::{Acquired, Error, Pool, dspinlock};
use dspinlock_testkit::ChildProcess;
use futures_executor::{LocalPool, block_on};
use tokio::runtime::{Builder, Runtime};

use crate::common::lock::{lock, locked};
use crate::common::store::{Store, init_in_memory};

/// Acquires, waits, releases and deletes. Returns the fence.
async fn use_lock(pool: Pool) -> u64 {
    let lock = lock(&pool);
    let lease = locked(lock.acquire().await);
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

/// A runtime without timers and I/O.
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
fn a_pool_outlives_the_runtime_that_opened_it() {
    for store in Store::each() {
        let first = full();
        let pool = first.block_on(async {
            let pool = Pool::open(&store.url()).unwrap();
            use_lock(pool.clone()).await;
            pool
        });
        drop(first);
        let mut fences = vec![full().block_on(use_lock(pool.clone()))];
        fences.push(bare().block_on(use_lock(pool.clone())));
        let handle = pool.clone();
        fences.push(std::thread::spawn(|| block_on(use_lock(handle))).join().unwrap());
        fences.push(LocalPool::new().run_until(use_lock(pool.clone())));
        fences.push(bare().block_on(use_lock(pool)));
        assert!(fences.is_sorted(), "{fences:?}");
    }
}

#[test]
fn a_blocking_call_inside_a_runtime_does_not_deadlock() {
    for store in Store::each() {
        let pool = Pool::open(&store.url()).unwrap();
        let lock = lock(&pool);
        for runtime in [bare(), full()] {
            let lock = lock.clone();
            runtime.block_on(async move {
                locked(lock.acquire_blocking()).release_blocking().unwrap();
            });
        }
    }
}

#[dspinlock(key = "shared between tests", cached_if_computed, on_error = panic)]
async fn answer() -> u32 {
    // Needs no runtime, so that any executor can run it.
    42
}

#[tokio::test]
async fn the_attribute_works_in_one_test() {
    init_in_memory();
    assert_eq!(answer().await, 42);
}

#[tokio::test]
async fn the_attribute_works_in_the_next_test() {
    init_in_memory();
    assert_eq!(answer().await, 42);
}

#[test]
fn the_attribute_works_under_another_executor() {
    init_in_memory();
    assert_eq!(block_on(answer()), 42);
}

#[tokio::test(start_paused = true)]
async fn a_paused_tokio_clock_does_not_affect_a_waiter() {
    let pool = Pool::open("sqlite::memory:").unwrap();
    let lock = lock(&pool);
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

#[dspinlock(cached_if_computed, spinlock_sleep_thresh = "10s", on_error = panic)]
async fn shared_by_runtimes() -> u32 {
    42
}

/// Calls of one process for one key share the request of their leader.
#[test]
fn a_call_whose_runtime_is_blocked_delays_no_call_of_another_runtime() {
    const BLOCKED: Duration = Duration::from_secs(3);
    const CHILD: &str = "DSPINLOCK_TEST_BLOCKED";
    if std::env::var_os(CHILD).is_none() {
        // The store in memory replies at once, so a separate process uses a file.
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}/locks.db", folder.path().display());
        let name = "executors::a_call_whose_runtime_is_blocked_delays_no_call_of_another_runtime";
        let mut child = ChildProcess::own_test(name, &[("DSPINLOCK_URL", &url), (CHILD, "yes")]);
        assert!(child.wait().success());
        return;
    }
    assert_eq!(block_on(shared_by_runtimes()), 42);
    let (blocks, blocked) = std::sync::mpsc::channel();
    let leader = std::thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            // The first poll sends the read. Rarely the reply is there at once.
            let call = loop {
                let mut call = Box::pin(shared_by_runtimes());
                let mut is_pending = |context: &mut Context<'_>| call.as_mut().poll(context).is_pending();
                if poll_fn(|context| Poll::Ready(is_pending(context))).await {
                    break call;
                }
            };
            blocks.send(()).unwrap();
            // Nothing polls the call when the reply arrives.
            std::thread::sleep(BLOCKED);
            call.await
        })
    });
    blocked.recv().unwrap();
    let start = Instant::now();
    let values = full().block_on(async {
        let calls: Vec<_> = (0..8).map(|_| tokio::spawn(shared_by_runtimes())).collect();
        let mut values = Vec::new();
        for call in calls {
            values.push(call.await.unwrap());
        }
        values
    });
    let elapsed = start.elapsed();
    println!("answered after {elapsed:?}");
    assert_eq!(values, [42; 8]);
    assert!(elapsed < BLOCKED / 2, "{elapsed:?}");
    assert_eq!(leader.join().unwrap(), 42);
}

/// A call waits for another process on the background thread.
#[test]
fn a_waiting_call_whose_runtime_is_blocked_delays_no_call_of_another_runtime() {
    const BLOCKED: Duration = Duration::from_secs(3);
    for store in Store::each() {
        // The other pool stands for another process.
        let [pool, other] = [(); 2].map(|()| Pool::open(&store.url()).unwrap());
        let lease = locked(lock(&other).acquire_blocking());
        let waiting = lock(&pool).cached_if_computed(true);
        let (leader, follower) = (waiting.clone(), waiting);
        let (blocks, blocked) = std::sync::mpsc::channel();
        let leader = std::thread::spawn(move || {
            full().block_on(async {
                let mut call = leader.acquire();
                let pause = Duration::from_millis(200);
                assert!(tokio::time::timeout(pause, &mut call).await.is_err());
                blocks.send(()).unwrap();
                // Nothing polls the call when the lock is released.
                std::thread::sleep(BLOCKED);
                call.await
            })
        });
        blocked.recv().unwrap();
        let start = Instant::now();
        let follower = std::thread::spawn(move || follower.acquire_blocking());
        std::thread::sleep(Duration::from_millis(50));
        lease.release_blocking().unwrap();
        assert!(matches!(follower.join().unwrap(), Ok(Acquired::Computed)));
        let elapsed = start.elapsed();
        println!("{}: answered after {elapsed:?}", store.url());
        assert!(elapsed < BLOCKED / 2, "{elapsed:?}");
        assert!(matches!(leader.join().unwrap(), Ok(Acquired::Computed)));
    }
}

/// A tokio task has a budget of operations, which is refilled when it yields. A sync call never yields.
#[test]
fn a_tokio_task_can_make_any_number_of_sync_calls() {
    for store in Store::each() {
        let pool = Pool::open(&store.url()).unwrap();
        for runtime in [
            full(),
            Builder::new_current_thread().enable_all().build().unwrap(),
        ] {
            let pool = pool.clone();
            let task = runtime.spawn(async move {
                for _ in 0..500 {
                    let lease = locked(lock(&pool).acquire_blocking());
                    lease.release_blocking().unwrap();
                }
            });
            runtime.block_on(task).unwrap();
        }
    }
}
