//! `dspinlock::fresh`: calls that compute anew.

use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::context;

/// Lets a call of a cached function compute anew, and store its result.
///
/// It returns no value that was stored before it looked. If several such calls run at the same time, in any processes, they share
/// one run: each accepts a value that was published after it looked. `fresh` counts for the locked functions that the call calls
/// directly, not for those inside of their bodies.
///
/// ```
/// # use dspinlock_runtime as dspinlock;
/// # async fn price(_: u64) -> Result<u64, dspinlock::Error> { Ok(21) }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), dspinlock::Error> {
/// // #[dspinlock(cached_if_computed)] async fn price(id: u64) -> Result<u64, Error>
/// let price = dspinlock::fresh(price(7)).await?;
/// # assert_eq!(price, 21);
/// # Ok(())
/// # }
/// ```
pub fn fresh<F: Future>(call: F) -> Fresh<F> {
    Fresh { call }
}

/// [`fresh`] for a closure that calls sync functions.
///
/// ```
/// # use dspinlock_runtime as dspinlock;
/// # fn price(_: u64) -> Result<u64, dspinlock::Error> { Ok(21) }
/// // #[dspinlock(cached_if_computed)] fn price(id: u64) -> Result<u64, Error>
/// let price = dspinlock::fresh_blocking(|| price(7))?;
/// # assert_eq!(price, 21);
/// # Ok::<(), dspinlock::Error>(())
/// ```
pub fn fresh_blocking<T>(call: impl FnOnce() -> T) -> T {
    context::with(|context| &context.is_fresh, true, call).0
}

pin_project! {
    /// A call that computes anew, from [`fresh`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless awaited"]
    pub struct Fresh<F> {
        #[pin]
        call: F,
    }
}

impl<F: Future> Future for Fresh<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let call = self.project().call;
        context::with(|context| &context.is_fresh, true, || call.poll(cx)).0
    }
}
