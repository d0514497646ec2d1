//! Blocks a thread on a future. The blocking methods of the public API call it. It needs no runtime.

use std::cell::Cell;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

thread_local! {
    static WAITING: Cell<bool> = const { Cell::new(false) };
    /// Wakes this thread. Made once, because a sync hit would allocate it.
    static WAKER: Waker = Waker::from(Arc::new(Unpark(thread::current())));
}

/// Whether the calling thread is inside [`wait`]. It cannot drive its own runtime, so its future must not depend on that.
pub(crate) fn is_waiting() -> bool {
    WAITING.get()
}

/// Polls `future` on this thread, which parks between polls. Needs no runtime.
pub(crate) fn wait<F: Future>(future: F) -> F::Output {
    let _waiting = Waiting(WAITING.replace(true));
    // The waker of a thread that ends is gone.
    let waker = WAKER.try_with(Waker::clone);
    let waker = waker.unwrap_or_else(|_| Waker::from(Arc::new(Unpark(thread::current()))));
    let mut context = Context::from_waker(&waker);
    // Inside a tokio task the future must not use that task's coop budget. This loop never yields to tokio, so the budget
    // would not be refilled, and a future without budget wakes itself forever.
    let mut future = pin!(tokio::task::unconstrained(future));
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            // A wake-up since the poll is not lost: it makes `park` return at once.
            Poll::Pending => thread::park(),
        }
    }
}

/// Restores the previous value, also when the future panics.
struct Waiting(bool);

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITING.set(self.0);
        if self.0 {
            // This wait ran inside another one, whose wake-up it may have consumed.
            thread::current().unpark();
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    /// The future of `wait` may call a logger of the user, and that a locked function.
    #[test]
    fn a_wait_inside_another_one_consumes_none_of_its_wake_ups() {
        let (done, waited) = mpsc::channel();
        thread::spawn(move || {
            let mut is_first = true;
            wait(poll_fn(|context| {
                if !std::mem::take(&mut is_first) {
                    return Poll::Ready(());
                }
                context.waker().wake_by_ref();
                let mut polls = 0;
                wait(poll_fn(|inner| {
                    polls += 1;
                    if polls == 3 {
                        return Poll::Ready(());
                    }
                    // Parks at least once with the token of the outer wake-up.
                    if polls == 2 {
                        inner.waker().wake_by_ref();
                    }
                    Poll::Pending
                }));
                Poll::Pending
            }));
            done.send(())
        });
        assert_eq!(waited.recv_timeout(Duration::from_secs(10)), Ok(()));
    }
}
