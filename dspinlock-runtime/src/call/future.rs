//! The future of an async call.

use std::any::type_name;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use crate::Error;
use crate::call::steps::{Settled, Step, Verdict};
use crate::call::{Entering, Start};
use crate::engine::{Boxed, Lead};

pin_project! {
    /// The future of one call: the user's body, once, and a few words around it. (An `async fn` in its place would
    /// hold the body twice.)
    #[project = RunProj]
    #[must_use = "futures do nothing unless awaited"]
    pub struct Run<F, R, J> {
        // Before the phase: a dropped body has ended when its lead gives the lock up.
        #[pin]
        work: Work<F, R>,
        phase: Phase,
        verdict: Verdict<R, J>,
    }
}

pin_project! {
    /// The body, and later its outcome, in the same place; boxed, as it may be larger than the body ever was.
    #[project = WorkProj]
    #[project_replace = WorkTaken]
    enum Work<F, R> {
        Body { #[pin] body: F },
        Done { outcome: Box<R> },
        Over,
    }
}

enum Phase {
    Start(Start),
    Enter(Entering),
    Body(Option<Box<Lead>>),
    Publish(Boxed<Result<(), Error>>),
    Over,
}

impl<F, R, J> Run<F, R, J> {
    #[inline]
    pub(crate) fn new(start: Start, verdict: Verdict<R, J>, body: F) -> Self {
        Self::at(Phase::Start(start), verdict, body)
    }

    #[inline]
    fn at(phase: Phase, verdict: Verdict<R, J>, body: F) -> Self {
        Self {
            phase,
            verdict,
            work: Work::Body { body },
        }
    }
}

impl<F: Future<Output = R>, R, J> Future for Run<F, R, J> {
    type Output = R;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<R> {
        let mut this = self.project();
        loop {
            if let Some(outcome) = ready!(match this.phase {
                Phase::Start(_) => Poll::Ready(this.start()),
                Phase::Enter(_) => this.poll_enter(cx),
                Phase::Body(_) => this.poll_body(cx),
                Phase::Publish(_) => this.poll_publish(cx),
                Phase::Over => panic!("a locked call was polled after it had ended"),
            }) {
                *this.phase = Phase::Over;
                return Poll::Ready(outcome);
            }
        }
    }
}

/// Each step ends with the outcome of the call, or with `None` and the next phase.
impl<F: Future<Output = R>, R, J> RunProj<'_, F, R, J> {
    fn start(&mut self) -> Option<R> {
        if let Phase::Start(start) = self.phase
            && let Some(outcome) = self.verdict.recalled(start)
        {
            return Some(outcome);
        }
        if let Phase::Start(start) = mem::replace(self.phase, Phase::Over) {
            *self.phase = Phase::Enter(start.enter(type_name::<F>()));
        }
        None
    }

    fn poll_enter(&mut self, cx: &mut Context<'_>) -> Poll<Option<R>> {
        let Phase::Enter(entering) = self.phase else {
            return Poll::Ready(None);
        };
        let entered = ready!(entering.future.as_mut().poll(cx));
        match self.verdict.entered(entering, entered) {
            Step::Again => {}
            Step::Return(outcome) => return Poll::Ready(Some(outcome)),
            Step::Body(lead) => *self.phase = Phase::Body(lead),
        }
        Poll::Ready(None)
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<R>> {
        // The lead is a local while the body runs: a panic drops it, and that aborts, even where the future is kept.
        let Phase::Body(lead) = mem::replace(self.phase, Phase::Over) else {
            return Poll::Ready(None);
        };
        let WorkProj::Body { body } = self.work.as_mut().project() else {
            return Poll::Ready(None);
        };
        let polled = match &lead {
            Some(lead) => lead.scope(|| body.poll(cx)),
            None => body.poll(cx),
        };
        let Poll::Ready(outcome) = polled else {
            *self.phase = Phase::Body(lead);
            return Poll::Pending;
        };
        match self.verdict.settle(lead, outcome) {
            Settled::Return(outcome) => Poll::Ready(Some(outcome)),
            Settled::Publish(publishing, outcome) => {
                self.work.set(Work::Done {
                    outcome: Box::new(outcome),
                });
                *self.phase = Phase::Publish(publishing);
                Poll::Ready(None)
            }
        }
    }

    fn poll_publish(&mut self, cx: &mut Context<'_>) -> Poll<Option<R>> {
        let Phase::Publish(publishing) = self.phase else {
            return Poll::Ready(None);
        };
        let published = ready!(publishing.as_mut().poll(cx));
        let WorkTaken::Done { outcome } = self.work.as_mut().project_replace(Work::Over) else {
            return Poll::Ready(None);
        };
        Poll::Ready(Some(self.verdict.published(published, *outcome)))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::call::outcome::{ByFrom, Discarded, Kept, MapErr, OnError, Outcome, Plain};
    use crate::codec;
    use crate::engine::{Entered, Order};
    use crate::key::Key;
    use crate::options::Options;
    use crate::rt::blocking;

    fn order() -> Order {
        Order {
            key: Key::new("dspinlock".into(), [0; 32]),
            site: "site".into(),
            options: Options::default(),
            near_cache: None,
            shared: false,
            refuse: None,
        }
    }

    fn down() -> Result<Entered, Error> {
        Err(Error::Configuration("down".into()))
    }

    /// Runs a body that returns `outcome` after the engine's answer.
    fn run<K, J, R: Outcome<K, J>>(answer: Result<Entered, Error>, carry: J, outcome: R) -> R {
        let body = std::future::ready(outcome);
        let phase = Phase::Enter(Entering::answered(answer));
        blocking::wait(Run::at(phase, Verdict::new(carry), body))
    }

    #[test]
    fn a_hit_is_decoded_and_the_body_is_not_run() {
        let payload = codec::encode(&7).expect("numbers can be encoded").into();
        let hit = Ok(Entered::Hit {
            payload,
            tag: Bytes::new(),
            fill: None,
            order: Box::new(order()),
        });
        let never = async { unreachable!("the value was there") };
        let phase = Phase::Enter(Entering::answered(hit));
        let run = Run::at(phase, Verdict::new::<Kept>(ByFrom), never);
        let outcome: Result<u64, Error> = blocking::wait(run);
        assert!(matches!(outcome, Ok(7)));
    }

    #[test]
    fn a_lock_error_becomes_the_error_of_the_function() {
        let by_from: Result<u64, Error> = run::<Kept, _, _>(down(), ByFrom, Ok(1));
        assert!(matches!(by_from, Err(Error::Configuration(_))));
        let map = MapErr(|error: Error| error.to_string());
        let mapped: Result<u64, String> = run::<Discarded, _, _>(down(), map, Ok(1));
        assert_eq!(mapped, Err("down".to_owned()));
    }

    #[test]
    fn run_unlocked_runs_the_body() {
        assert_eq!(run::<Kept, _, _>(down(), OnError::<Plain>::new(false), 1), 1);
    }

    #[test]
    #[should_panic(expected = "down")]
    fn panic_panics_with_the_error() {
        run::<Kept, _, _>(down(), OnError::<Plain>::new(true), 1);
    }
}
