//! The boxed future that the explicit API returns. `lock` and `lease` create it.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::in_flight::InFlight;
use crate::error::Error;

/// A boxed future of the explicit API, such as [`HashDSpinlock::acquire`](crate::HashDSpinlock::acquire).
///
/// It is `Send` and `'static`, so it can be spawned. A trait object can return it, because it is boxed.
///
/// ```
/// # use dspinlock_runtime as dspinlock;
/// use dspinlock::{Acquired, HashDSpinlock, Op};
///
/// fn nightly_lock() -> Op<Acquired> {
///     HashDSpinlock::new("nightly").acquire()
/// }
/// ```
#[must_use = "futures do nothing unless polled"]
pub struct Op<T>(InFlight<Boxed<T>>);

type Boxed<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

impl<T> Op<T> {
    pub(crate) fn new(operation: impl Future<Output = Result<T, Error>> + Send + 'static) -> Self {
        Self(InFlight::new(Box::pin(operation)))
    }
}

impl<T> Future for Op<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context)
    }
}

impl<T> fmt::Debug for Op<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Op")
    }
}
