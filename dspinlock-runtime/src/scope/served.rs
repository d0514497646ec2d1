//! `dspinlock::served`: how a call was served.

use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::context::{self, Recorder};
use super::how::Served;

/// Returns the output of a call, and how its last locked function was served: from the near cache, from the store, by another
/// call, or by its body.
///
/// The result is the output of the call, and `None` if it called no locked function, or if the last one failed with an error of
/// the lock. `served` counts for the locked functions that the call calls directly, not for those inside of their bodies, nor
/// for explicit locks. It costs no round trip.
///
/// ```
/// # use dspinlock_runtime as dspinlock;
/// # async fn price(_: u64) -> Result<u64, dspinlock::Error> { Ok(21) }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), dspinlock::Error> {
/// // #[dspinlock(cached_if_computed)] async fn price(id: u64) -> Result<u64, Error>
/// let (price, served) = dspinlock::served(price(7)).await;
/// if let Some(served) = served {
///     println!("{}: {}, {:?} old", price?, served.how, served.age);
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Cancellation safety
///
/// This function is as cancel safe as the call.
pub fn served<F: Future>(call: F) -> Observed<F> {
    Observed {
        call,
        recorder: Recorder::Empty,
    }
}

/// [`served`] for a closure that calls sync functions.
///
/// ```
/// # use dspinlock_runtime as dspinlock;
/// # fn price(_: u64) -> Result<u64, dspinlock::Error> { Ok(21) }
/// // #[dspinlock(cached_if_computed)] fn price(id: u64) -> Result<u64, Error>
/// let (price, served) = dspinlock::served_blocking(|| price(7));
/// # assert!(price.is_ok() && served.is_none());
/// ```
pub fn served_blocking<T>(call: impl FnOnce() -> T) -> (T, Option<Served>) {
    let (output, recorder) = context::with(|context| &context.recorder, Recorder::Empty, call);
    (output, recorder.end())
}

impl Recorder {
    /// The result. A `served` around this one records it too.
    fn end(self) -> Option<Served> {
        let Self::Ended(served) = self else { return None };
        context::record(|| served);
        served
    }
}

pin_project! {
    /// A call whose output says how it was served, from [`served`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless awaited"]
    pub struct Observed<F> {
        #[pin]
        call: F,
        recorder: Recorder,
    }
}

impl<F: Future> Future for Observed<F> {
    type Output = (F::Output, Option<Served>);

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let poll = || this.call.poll(cx);
        let (polled, recorder) = context::with(|context| &context.recorder, *this.recorder, poll);
        *this.recorder = recorder;
        polled.map(|output| (output, recorder.end()))
    }
}
