//! A tokio runtime that has timers only.

use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use dspinlock::Pool;
use tokio::runtime::Builder;

use super::functions::{Gate, VALUE, compute, lock};
use super::operation::assert_hit;
use super::process::fail;
use crate::common::lock::locked;

/// More hits than a runtime makes before it gets a reader.
const HITS: usize = 50;

/// A panic inside a task ends only that task.
static HAS_PANICKED: AtomicBool = AtomicBool::new(false);

pub(super) fn run() {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        HAS_PANICKED.store(true, Ordering::Relaxed);
        hook(panic);
    }));
    let url = std::env::var("DSPINLOCK_URL").expect("the test names the store");
    let pool = Pool::builder(&url).readers(false).open();
    dspinlock::init(pool.expect("the pool can be opened")).expect("the global pool is initialized once");
    let (send, ended) = channel();
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_time().build();
        runtime.expect("a runtime").block_on(use_store());
        // Fails if it took too long.
        let _ = send.send(());
    });
    if let Err(error) = ended.recv_timeout(Duration::from_secs(10)) {
        fail(error);
    }
    if HAS_PANICKED.load(Ordering::Relaxed) {
        fail("a task has panicked");
    }
}

async fn use_store() {
    assert_eq!(compute("key", &Gate::opened()).await.unwrap(), VALUE);
    for _ in 0..HITS {
        assert_hit("key").await;
    }
    locked(lock("key").acquire().await).release().await.unwrap();
    assert!(lock("key").delete_state().await.unwrap());
    // A reader of the runtime would connect meanwhile.
    tokio::time::sleep(Duration::from_millis(300)).await;
    for _ in 0..HITS {
        assert_hit("key").await;
    }
}
