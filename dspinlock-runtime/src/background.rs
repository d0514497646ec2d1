//! The library's own thread: every connection, every timer and every heartbeat lives here, never on a user's runtime.
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

/// Runs `future` on the background thread.
pub(crate) fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    RUNTIME.spawn(future)
}

/// A timer of the background thread that any executor may wait for.
pub(crate) fn sleep(duration: Duration) -> Sleep {
    let _context = RUNTIME.enter();
    tokio::time::sleep(duration)
}
