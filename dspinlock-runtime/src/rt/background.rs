//! The library's own thread: every timer and every heartbeat lives here, and the connection that serves all who have no
//! tokio runtime of their own.
//!
//! So a handle made under one runtime works under the next, under another executor and in plain threads, and a body
//! that blocks its thread starves nobody's heartbeat.

use std::fmt::Display;
use std::io;
use std::sync::mpsc::channel;
use std::time::Duration;

use once_cell::sync::OnceCell;
use tokio::runtime::{Builder, Handle};
use tokio::task::JoinHandle;
use tokio::time::Sleep;

use crate::error::Error;

static RUNTIME: OnceCell<Handle> = OnceCell::new();

/// Starts the thread for the store at `address`, unless it runs. No pool is made without it, and all that needs it has a
/// pool: so a process that is out of threads or descriptors is told so here, and may try again.
pub(crate) fn start(address: impl Display) -> Result<(), Error> {
    let started = RUNTIME.get_or_try_init(begin);
    started.map(drop).map_err(|error| Error::RedisNotInitialized {
        address: address.to_string(),
        reason: format!("no background thread can be started ({error})"),
    })
}

/// The runtime is made on its thread, and never dropped anywhere else: in the midst of another runtime that is a panic.
fn begin() -> io::Result<Handle> {
    let (made, handle) = channel();
    std::thread::Builder::new()
        .name("dspinlock".into())
        .spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build();
            // Whoever made the thread waits for the word.
            let _ = made.send(
                runtime
                    .as_ref()
                    .map(|runtime| runtime.handle().clone())
                    .map_err(io::Error::kind),
            );
            if let Ok(runtime) = runtime {
                runtime.block_on(std::future::pending::<()>());
            }
        })?;
    let handle = handle.recv().map_err(|_| io::ErrorKind::BrokenPipe)?;
    Ok(handle?)
}

/// The background thread's runtime.
pub(crate) fn handle() -> &'static Handle {
    RUNTIME.get().expect("the thread was started for a pool")
}

/// How many tasks it has.
pub(crate) fn tasks() -> usize {
    RUNTIME
        .get()
        .map_or(0, |runtime| runtime.metrics().num_alive_tasks())
}

/// Runs `future` on the background thread.
pub(crate) fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    handle().spawn(future)
}

/// Runs `future` on the background thread for a caller who waits: dropping this drops it there.
pub(crate) async fn run<F>(future: F) -> F::Output
where
    F: Future<Output: Send> + Send + 'static,
{
    let mut task = Attached(handle().spawn(future));
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
    let _context = handle().enter();
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
