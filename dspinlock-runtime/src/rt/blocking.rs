//! Parks a thread on a future.

use std::cell::Cell;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

thread_local! {
    static WAITING: Cell<bool> = const { Cell::new(false) };
}

/// Whether the calling thread is inside of [`wait`]: what it waits for must not depend on the runtime around it.
pub(crate) fn is_waiting() -> bool {
    WAITING.get()
}

/// Polls `future` on this thread and parks in between. No task, no runtime.
pub(crate) fn wait<F: Future>(future: F) -> F::Output {
    let _waiting = Waiting(WAITING.replace(true));
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    // A caller inside a tokio task must not use up that task's budget: it is given a new one only when the task yields,
    // which it does not do here, and a future without budget wakes itself for ever.
    let mut future = pin!(tokio::task::unconstrained(future));
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            // A wake between the poll and here is remembered: it makes `park` return at once.
            Poll::Pending => thread::park(),
        }
    }
}

/// Puts back what was, also when the future panics.
struct Waiting(bool);

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITING.set(self.0);
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
