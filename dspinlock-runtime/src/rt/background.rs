//! The background thread: it runs every timer and every heartbeat, and the connections of callers without a tokio runtime.
//!
//! Because this thread belongs to the library, a pool works under any runtime, under another executor and in plain
//! threads, and a body that blocks its thread delays no heartbeat.

use std::io;
use std::sync::mpsc::channel;
use std::task::{Context, Waker};
use std::time::Duration;

use once_cell::sync::OnceCell;
use tokio::runtime::{Builder, Handle};
use tokio::task::JoinHandle;
use tokio::time::Sleep;

use super::clock::Instant;
use super::process::PerProcess;
use super::thread_end;

/// A forked child has no thread of its parent, so it starts its own.
static RUNTIME: PerProcess<OnceCell<Handle>> = PerProcess::new(|_| OnceCell::new());

/// Starts the thread if it is not running. Every store calls this when it is opened, and everything else in this module
/// requires an open store.
///
/// # Errors
///
/// If the process is out of threads or descriptors. A later call tries again.
pub(crate) fn start() -> io::Result<()> {
    RUNTIME.get().get_or_try_init(spawn_thread).map(drop)
}

/// The runtime is built and dropped on its own thread, because dropping it inside another runtime panics.
fn spawn_thread() -> io::Result<Handle> {
    let (built, handle) = channel();
    std::thread::Builder::new()
        .name("dspinlock".into())
        .spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build();
            // The receiver is alive: the thread that spawned this one waits for the message.
            let _ = built.send(
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

/// The runtime of the background thread.
pub(crate) fn handle() -> &'static Handle {
    RUNTIME
        .get()
        .get()
        .expect("opening a store starts the background thread")
}

/// The number of live tasks on the background thread.
pub(crate) fn tasks() -> usize {
    RUNTIME
        .get()
        .get()
        .map_or(0, |runtime| runtime.metrics().num_alive_tasks())
}

/// Spawns `future` on the background thread.
pub(crate) fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    handle().spawn(future)
}

/// Polls `future` once on this thread, so that it sends its request now, and spawns the rest on the background thread.
pub(crate) fn start_here(future: impl Future<Output = ()> + Send + 'static) {
    // Inside a tokio task, the future must not depend on that task's budget.
    let mut future = Box::pin(tokio::task::unconstrained(future));
    let mut context = Context::from_waker(Waker::noop());
    if future.as_mut().poll(&mut context).is_pending() {
        spawn(future);
    }
}

/// Runs `future` on the background thread and waits for its output. Dropping the returned future drops `future`.
pub(crate) fn run<F>(future: F) -> impl Future<Output = F::Output> + Send + use<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    let task = AbortOnDrop(Some(handle().spawn(future)));
    async move {
        let mut task = task;
        let output = task.0.as_mut().expect("the drop takes it").await;
        task.0 = None;
        match output {
            Ok(output) => output,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

struct AbortOnDrop<T: Send + 'static>(Option<JoinHandle<T>>);

impl<T: Send + 'static> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.abort();
            // The task may hold a claim, whose drop queues an ABORT on another thread.
            let queued = thread_end::queue_abort();
            spawn(async move {
                let _ = task.await;
                drop(queued);
            });
        }
    }
}

/// The longest timer. tokio's timers stand still while the machine is suspended, so a longer sleep reads the clock this often.
const SLICE: Duration = Duration::from_secs(1);

/// Sleeps for `duration` by [`clock`](super::clock). After the machine was suspended, it wakes at most [`SLICE`] late. It may
/// be polled under any executor.
pub(crate) async fn sleep(duration: Duration) {
    let start = Instant::now();
    let mut rest = duration;
    while !rest.is_zero() {
        timer(rest.min(SLICE)).await;
        rest = duration.saturating_sub(start.elapsed());
    }
}

/// A timer of the background thread.
fn timer(duration: Duration) -> Sleep {
    let _context = handle().enter();
    tokio::time::sleep(duration)
}

/// Sleeps for `limit` in five steps, each of which begins with a poll. If the executor was starved, the other branch of the
/// caller's `select!` is thus polled several times before the limit ends, and can read what has arrived.
pub(crate) async fn time_limit(limit: Duration) {
    const TICKS: u32 = 5;
    for _ in 0..TICKS {
        sleep(limit / TICKS).await;
    }
}
