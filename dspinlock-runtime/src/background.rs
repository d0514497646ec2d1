//! The library's own thread: every timer and every heartbeat lives here, and the connection that serves all who have no
//! tokio runtime of their own.
//!
//! So a handle made under one runtime works under the next, under another executor and in plain threads, and a body
//! that blocks its thread starves nobody's heartbeat.

use std::time::Duration;

use once_cell::sync::Lazy;
use tokio::runtime::{Builder, Handle};
use tokio::task::JoinHandle;
use tokio::time::Sleep;

static RUNTIME: Lazy<Handle> = Lazy::new(|| {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("the background runtime needs a descriptor");
    let handle = runtime.handle().clone();
    std::thread::Builder::new()
        .name("dspinlock".into())
        .spawn(move || runtime.block_on(std::future::pending::<()>()))
        .expect("the background runtime needs a thread");
    handle
});

/// The background thread's runtime.
pub(crate) fn handle() -> &'static Handle {
    &RUNTIME
}

/// Runs `future` on the background thread.
pub(crate) fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    RUNTIME.spawn(future)
}

/// Runs `future` on the background thread for a caller who waits: dropping this drops it there.
pub(crate) async fn run<F>(future: F) -> F::Output
where
    F: Future<Output: Send> + Send + 'static,
{
    let mut task = Attached(RUNTIME.spawn(future));
    match (&mut task.0).await {
        Ok(output) => output,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

struct Attached<T>(JoinHandle<T>);

impl<T> Drop for Attached<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A timer of the background thread that any executor may wait for.
pub(crate) fn sleep(duration: Duration) -> Sleep {
    let _context = RUNTIME.enter();
    tokio::time::sleep(duration)
}

/// A limit whose ticks must each be seen by the one who waits: a starved executor gets to see what has come meanwhile
/// before its time is over.
pub(crate) async fn patience(limit: Duration) {
    for _ in 0..TICKS {
        sleep(limit / TICKS).await;
    }
}

/// Ticks of a limit.
const TICKS: u32 = 5;
