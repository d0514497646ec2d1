//! The future of a call in flight. `op`, `call` and `lease` wrap their futures in it.
//!
//! A call that was polled before a `fork` cannot continue in the child: its locks may be held by threads of the parent, and its
//! drop would abort the parent's lock. The child leaks it.

use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::{process, thread_end};
use crate::error::Error;

/// A future that fails with [`Error::Forked`] if it is polled in two processes.
pub(crate) struct InFlight<F> {
    /// `None` after the end.
    future: Option<F>,
    /// The generation of the process of the first poll; 0 before it.
    process: u32,
}

impl<F> InFlight<F> {
    pub(crate) fn new(future: F) -> Self {
        Self {
            future: Some(future),
            process: 0,
        }
    }

    fn forget(&mut self) {
        mem::forget(self.future.take());
    }
}

/// `Unpin`, because a future that is leaked must not be pinned in its caller.
impl<T, F: Future<Output = Result<T, Error>> + Unpin> Future for InFlight<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let process = process::generation();
        if self.process == 0 {
            self.process = process;
            thread_end::register(process);
        } else if self.process != process {
            self.forget();
            return Poll::Ready(Err(Error::Forked));
        }
        let future = self
            .future
            .as_mut()
            .expect("the future is not polled after its end");
        let polled = Pin::new(future).poll(context);
        if polled.is_ready() {
            self.future = None;
        }
        polled
    }
}

impl<F> Drop for InFlight<F> {
    fn drop(&mut self) {
        // A future that was never polled has sent nothing.
        if self.future.is_some() && self.process != 0 && self.process != process::generation() {
            self.forget();
        }
    }
}
