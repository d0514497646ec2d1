//! Tasks of the scheduler, and timers of its clock.

use std::time::Duration;

use shuttle::future::{self, JoinHandle};

use crate::clock::Instant;

pub(crate) fn spawn<F>(task: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    future::spawn(task)
}

/// The scheduler may run the task at any time, so it needs no first poll.
pub(crate) fn start_here(task: impl Future<Output = ()> + Send + 'static) {
    drop(spawn(task));
}

/// Checks the clock whenever the scheduler runs this task.
pub(crate) async fn sleep(duration: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < duration {
        future::yield_now().await;
    }
}
