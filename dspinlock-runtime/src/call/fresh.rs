//! `dspinlock::fresh`: calls that compute anew. `order` asks whether a call is one of them.
//!
//! The mark is set for each poll of the marked call, and cleared while a body runs, so that it counts for the locked calls that
//! the marked call begins itself.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

/// Whether the process has ever marked a call. Every call looks at it, and most programs mark none.
static IN_USE: AtomicBool = AtomicBool::new(false);

thread_local! {
    static MARKED: Cell<bool> = const { Cell::new(false) };
}

/// Whether the call that begins now computes anew.
#[inline]
pub(super) fn is_marked() -> bool {
    IN_USE.load(Ordering::Relaxed) && MARKED.get()
}

/// Runs or polls a body.
#[inline]
pub(super) fn without<T>(body: impl FnOnce() -> T) -> T {
    match IN_USE.load(Ordering::Relaxed) {
        true => with(false, body),
        false => body(),
    }
}

fn with<T>(is_marked: bool, body: impl FnOnce() -> T) -> T {
    let _restore = Restore(MARKED.replace(is_marked));
    body()
}

/// Restores the outer mark, also if the body panics.
struct Restore(bool);

impl Drop for Restore {
    fn drop(&mut self) {
        MARKED.set(self.0);
    }
}

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
    IN_USE.store(true, Ordering::Relaxed);
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
    IN_USE.store(true, Ordering::Relaxed);
    with(true, call)
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

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let call = self.project().call;
        with(true, || call.poll(context))
    }
}
