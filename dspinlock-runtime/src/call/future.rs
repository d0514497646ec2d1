//! The future of an async call. `call` creates it.

use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::keeping::Keep;
use super::order::Entering;
use super::steps::{Decision, Settling, Steps};
use crate::engine::Permit;
use crate::scope;

pin_project! {
    /// The future of one call. It contains the user's body once; an `async fn` would contain it twice.
    #[project = RunProj]
    #[must_use = "futures do nothing unless awaited"]
    pub struct Run<F, R, P, K = ()> {
        // Declared before the phase, so that the body is dropped before its permit aborts the lock.
        #[pin]
        work: Work<F, R>,
        phase: Phase,
        steps: Steps<R, P, K>,
    }
}

pin_project! {
    /// The body, and later its result in the same memory. Boxed, because the result may be larger than the body.
    #[project = WorkProj]
    #[project_replace = WorkTaken]
    enum Work<F, R> {
        Body { #[pin] body: F },
        Done { outcome: Box<R> },
        Over,
    }
}

#[expect(clippy::large_enum_variant, reason = "a hit allocates no box")]
enum Phase {
    Enter(Entering),
    Body(Option<Box<Permit>>),
    Settle(Settling),
    Over,
}

impl<F, R, P, K> Run<F, R, P, K> {
    #[inline]
    pub(super) fn new(entering: Entering, steps: Steps<R, P, K>, body: F) -> Self {
        Self {
            phase: Phase::Enter(entering),
            steps,
            work: Work::Body { body },
        }
    }
}

impl<F, R, P, K> Run<F, R, P, K> {
    /// A call that has come to its body.
    pub(super) fn with_permit(permit: Option<Box<Permit>>, steps: Steps<R, P, K>, body: F) -> Self {
        Self {
            phase: Phase::Body(permit),
            steps,
            work: Work::Body { body },
        }
    }

    pub(super) fn is_in_body(&self) -> bool {
        matches!(self.phase, Phase::Body(_))
    }
}

impl<F: Future<Output = R>, R, P, K: Keep<R>> Future for Run<F, R, P, K> {
    type Output = R;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<R> {
        let mut this = self.project();
        loop {
            if let Some(outcome) = ready!(match this.phase {
                Phase::Enter(_) => this.poll_enter(cx),
                Phase::Body(_) => this.poll_body(cx),
                Phase::Settle(_) => this.poll_settle(cx),
                Phase::Over => panic!("the future of a locked call was polled after completion"),
            }) {
                *this.phase = Phase::Over;
                return Poll::Ready(outcome);
            }
        }
    }
}

/// Each step returns the result of the call, or `None` after it has set the next phase.
impl<F: Future<Output = R>, R, P, K: Keep<R>> RunProj<'_, F, R, P, K> {
    fn poll_enter(&mut self, cx: &mut Context<'_>) -> Poll<Option<R>> {
        let Phase::Enter(entering) = self.phase else {
            return Poll::Ready(None);
        };
        if entering.is_new()
            && let Some(outcome) = self.steps.near_hit(entering)
        {
            return Poll::Ready(Some(outcome));
        }
        let entered = ready!(Pin::new(&mut *entering).poll(cx));
        match self.steps.entered(entering, entered) {
            Decision::Retry => {}
            Decision::Return(outcome) => return Poll::Ready(Some(outcome)),
            Decision::RunBody(permit) => *self.phase = Phase::Body(permit),
        }
        Poll::Ready(None)
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<R>> {
        // The permit is a local while the body runs, so a panic drops it and aborts the lock, even if the future is kept.
        let Phase::Body(permit) = mem::replace(self.phase, Phase::Over) else {
            return Poll::Ready(None);
        };
        let WorkProj::Body { body } = self.work.as_mut().project() else {
            return Poll::Ready(None);
        };
        let polled = match &permit {
            Some(permit) => scope::around_body(|| permit.scope(|| body.poll(cx))),
            None => scope::around_body(|| body.poll(cx)),
        };
        let Poll::Ready(outcome) = polled else {
            *self.phase = Phase::Body(permit);
            return Poll::Pending;
        };
        let Some(settling) = self.steps.settle(permit, &outcome) else {
            return Poll::Ready(Some(outcome));
        };
        self.work.set(Work::Done {
            outcome: Box::new(outcome),
        });
        *self.phase = Phase::Settle(settling);
        Poll::Ready(None)
    }

    fn poll_settle(&mut self, cx: &mut Context<'_>) -> Poll<Option<R>> {
        let Phase::Settle(settling) = self.phase else {
            return Poll::Ready(None);
        };
        // The caller has its value, whatever becomes of the publish. A forked child has it too: its parent publishes it.
        let _ = ready!(Pin::new(settling).poll(cx));
        let WorkTaken::Done { outcome } = self.work.as_mut().project_replace(Work::Over) else {
            return Poll::Ready(None);
        };
        Poll::Ready(Some(*outcome))
    }
}

#[cfg(test)]
mod tests {

    use super::super::policy::{ByFrom, Fail, LockError, MapErr, OnError, ReturnType};
    use super::super::shape::Plain;
    use super::super::storable::{Cached, Discarded, NearCacheable, Storable};
    use super::*;
    use crate::codec;
    use crate::engine;
    use crate::error::Error;
    use crate::pool::flight::Found;
    use crate::protocol::header::Flag;
    use crate::rt::blocking;

    fn down() -> Result<engine::Outcome, Error> {
        Err(Error::AlreadyInitialized)
    }

    /// Runs a body that returns `outcome`, after this outcome of the engine.
    fn run<S, P, R>(entered: Result<engine::Outcome, Error>, policy: P, outcome: R) -> R
    where
        R: ReturnType<P, Value: Storable<S> + NearCacheable<S>, Error: LockError<P>>,
    {
        let body = std::future::ready(outcome);
        blocking::wait(Run::new(
            Entering::ready(entered),
            Steps::new::<S, Fail>(policy),
            body,
        ))
    }

    #[test]
    fn a_hit_is_decoded_and_the_body_is_not_run() {
        let payload = codec::encode_decodable(&7)
            .expect("numbers can be encoded")
            .into();
        let hit = Ok(engine::Outcome::Hit(
            Found {
                payload,
                id: None,
                flag: Flag::Value,
                age: None,
            },
            None,
        ));
        let never = async { unreachable!("the value is stored") };
        let run = Run::new(Entering::ready(hit), Steps::new::<Cached, Fail>(ByFrom), never);
        let outcome: Result<u64, Error> = blocking::wait(run);
        assert!(matches!(outcome, Ok(7)));
    }

    #[test]
    fn a_lock_error_becomes_the_error_of_the_function() {
        let by_from: Result<u64, Error> = run::<Cached, _, _>(down(), ByFrom, Ok(1));
        assert!(matches!(by_from, Err(Error::AlreadyInitialized)));
        let map = MapErr(|error: Error| error.to_string());
        let mapped: Result<u64, String> = run::<Discarded, _, _>(down(), map, Ok(1));
        assert_eq!(mapped, Err(down().unwrap_err().to_string()));
    }

    #[test]
    fn run_unlocked_runs_the_body() {
        assert_eq!(run::<Cached, _, _>(down(), OnError::<Plain>::new(false), 1), 1);
    }

    #[test]
    #[should_panic(expected = "already initialized")]
    fn panic_panics_with_the_error() {
        run::<Cached, _, _>(down(), OnError::<Plain>::new(true), 1);
    }
}
