//! The future of a call in flight. `op`, `call` and `lease` wrap their futures in it.
//!
//! A call that was polled before a `fork` cannot continue in the child: its locks may be held by threads of the parent, and its
//! drop would abort the parent's lock. The child leaks it.

use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::{process, thread_end};
use crate::error::Error;

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// A boxed future that fails with [`Error::Forked`] if it is polled in two processes.
pub(crate) struct InFlight<'a, T> {
    /// `None` after the end.
    future: Option<Boxed<'a, T>>,
    /// The generation of the process of the first poll; 0 before it.
    process: u32,
}

impl<'a, T> InFlight<'a, T> {
    pub(crate) fn new(future: Boxed<'a, T>) -> Self {
        Self {
            future: Some(future),
            process: 0,
        }
    }

    fn forget(&mut self) {
        mem::forget(self.future.take());
    }
}

impl<T> Future for InFlight<'_, T> {
    type Output = Result<T, Error>;

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
        let polled = future.as_mut().poll(context);
        if polled.is_ready() {
            self.future = None;
        }
        polled
    }
}

impl<T> Drop for InFlight<'_, T> {
    fn drop(&mut self) {
        // A future that was never polled has sent nothing.
        if self.future.is_some() && self.process != 0 && self.process != process::generation() {
            self.forget();
        }
    }
}
