//! The rim of the engine: the only code that is compiled anew for every annotated function, and therefore little.
//!
//! The shim builds a [`Call`] (options and key), names the return type with [`Call::returning`] and hands the body to
//! [`Returning::run`] or [`Returning::run_blocking`]. From there on the engine decides; this file only polls the body
//! and turns values into bytes and back.

use std::any::type_name;
use std::borrow::Cow;
use std::marker::PhantomData;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use pin_project_lite::pin_project;

use crate::Error;
use crate::blocking;
use crate::engine::{self, Boxed, Entered, Lead, Order};
use crate::key::{KeyHasher, KeyPart};
use crate::outcome::{ByFrom, Discarded, Judgement, Kept, MapErr, OnError, Outcome, Rules};
use crate::site::{Options, Site, Wait};

/// One call on its way to a key. `K` says whether its value is kept, `J` what becomes of a lock error.
#[derive(Debug)]
pub struct Call<K = Discarded, J = ByFrom> {
    // Boxed, as it lives in the caller's future where a key expression awaits.
    draft: Box<Draft>,
    carry: J,
    keep: PhantomData<fn() -> K>,
}

#[derive(Debug)]
struct Draft {
    site: &'static Site,
    options: Options,
    hasher: KeyHasher,
}

impl Call {
    pub(crate) fn new(site: &'static Site) -> Self {
        let hasher = KeyHasher::new(site.is_shared());
        let draft = Box::new(Draft {
            site,
            options: site.options.clone(),
            hasher,
        });
        Self {
            draft,
            carry: ByFrom,
            keep: PhantomData,
        }
    }
}

impl<K, J> Call<K, J> {
    /// One more part of the key.
    pub fn part<P: KeyPart + ?Sized>(mut self, part: &P) -> Self {
        part.feed(&mut self.draft.hasher);
        self
    }

    /// `max_spinlock_tries = expr`.
    pub fn max_spinlock_tries(mut self, tries: u32) -> Self {
        self.draft.options.max_spinlock_tries = tries;
        self
    }

    /// `spinlock_sleep_thresh = expr`.
    pub fn spinlock_sleep_thresh(mut self, sleep: Duration) -> Self {
        self.draft.options.spinlock_sleep_thresh = sleep;
        self
    }

    /// `wait = expr`.
    pub fn wait(mut self, most: Duration) -> Self {
        self.draft.options.wait = Some(Wait::AtMost(most));
        self
    }

    /// `ttl = expr`.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.draft.options.ttl = ttl;
        self
    }

    /// `max_block_time = expr`.
    pub fn max_block_time(mut self, most: Duration) -> Self {
        self.draft.options.max_block_time = most;
        self
    }

    /// `lease = expr`.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.draft.options.lease = Some(lease);
        self
    }

    /// `cached_if_computed`.
    pub fn cached(mut self) -> Call<Kept, J> {
        self.draft.options.cached_if_computed = true;
        Call {
            draft: self.draft,
            carry: self.carry,
            keep: PhantomData,
        }
    }

    /// `map_err = path`.
    pub fn map_err<M>(self, map: fn(Error) -> M) -> Call<K, MapErr<M>> {
        self.carrying(MapErr(map))
    }

    /// `on_error = run_unlocked`.
    pub fn run_unlocked<Kind: Copy>(self, kind: Kind) -> Call<K, OnError<Kind>> {
        self.carrying(OnError::new(false, kind))
    }

    /// `on_error = panic`.
    pub fn panic<Kind: Copy>(self, kind: Kind) -> Call<K, OnError<Kind>> {
        self.carrying(OnError::new(true, kind))
    }

    fn carrying<L>(self, carry: L) -> Call<K, L> {
        Call {
            draft: self.draft,
            carry,
            keep: PhantomData,
        }
    }

    /// The type that the function returns. The only step with a bound on it: what comes after does not depend on the
    /// bound, so that a type that breaks it gets one error and no second one at `run` or `await`.
    pub fn returning<R: Outcome<K, J>>(self) -> Returning<R, J> {
        Returning {
            draft: self.draft,
            verdict: Verdict {
                carry: self.carry,
                rules: R::RULES,
            },
        }
    }
}

/// A call that knows what its outcomes mean, and lacks only the body.
#[derive(Debug)]
pub struct Returning<R, J> {
    draft: Box<Draft>,
    verdict: Verdict<R, J>,
}

impl<R, J> Returning<R, J> {
    /// Runs an async body under the lock, or takes another's outcome in its place.
    pub fn run<F: Future<Output = R>>(self, body: F) -> Run<F, R, J> {
        let entering = self.draft.enter(type_name::<F>());
        Run {
            phase: Phase::Enter(entering),
            verdict: self.verdict,
            work: Work::Body { body },
        }
    }

    /// Runs a sync body under the lock, or takes another's outcome in its place. Parks the thread meanwhile.
    pub fn run_blocking<F: FnOnce() -> R>(self, body: F) -> R {
        let mut entering = self.draft.enter(type_name::<F>());
        let lead = loop {
            let entered = blocking::wait(entering.future.as_mut());
            match self.verdict.entered(&mut entering, entered) {
                Step::Again => {}
                Step::Return(outcome) => return outcome,
                Step::Body(lead) => break lead,
            }
        };
        let outcome = match &lead {
            Some(lead) => lead.scope(body),
            None => body(),
        };
        match self.verdict.settle(lead, outcome) {
            Settled::Return(outcome) => outcome,
            Settled::Publish(publishing, outcome) => {
                self.verdict.published(blocking::wait(publishing), outcome)
            }
        }
    }
}

pin_project! {
    /// The future of one call: the user's body, once, and a few words around it. (An `async fn` in its place would
    /// hold the body twice.)
    #[project = RunProj]
    #[must_use = "futures do nothing unless awaited"]
    pub struct Run<F, R, J> {
        phase: Phase,
        verdict: Verdict<R, J>,
        #[pin]
        work: Work<F, R>,
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
    Enter(Entering),
    Body(Option<Lead>),
    Publish(Boxed<Result<(), Error>>),
    Over,
}

impl<F: Future<Output = R>, R, J> Future for Run<F, R, J> {
    type Output = R;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<R> {
        let mut this = self.project();
        loop {
            if let Some(outcome) = ready!(match this.phase {
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

/// What the outcomes of one call mean.
#[derive(Debug)]
struct Verdict<R, J> {
    carry: J,
    rules: Rules<R, J>,
}

/// What follows from the engine's answer.
enum Step<R> {
    /// Ask the engine once more.
    Again,
    /// Run the body, under a lease or (`on_error = run_unlocked`) without.
    Body(Option<Lead>),
    /// The outcome came from elsewhere.
    Return(R),
}

/// What follows from the body's outcome.
enum Settled<R> {
    Return(R),
    Publish(Boxed<Result<(), Error>>, R),
}

impl<R, J> Verdict<R, J> {
    fn entered(&self, entering: &mut Entering, entered: Result<Entered, Error>) -> Step<R> {
        match entered {
            Ok(Entered::Lead(lead)) => Step::Body(Some(lead)),
            Ok(Entered::Hit { payload, tag }) => match (self.rules.restore)(&payload) {
                Some(outcome) => Step::Return(outcome),
                None => {
                    entering.refuse(tag);
                    Step::Again
                }
            },
            Err(error) => match self.carry(error) {
                Some(outcome) => Step::Return(outcome),
                None => Step::Body(None),
            },
        }
    }

    fn settle(&self, lead: Option<Lead>, outcome: R) -> Settled<R> {
        let Some(lead) = lead else {
            return Settled::Return(outcome);
        };
        match (self.rules.keep)(&outcome) {
            // Dropping the lead aborts.
            Judgement::Abort => Settled::Return(outcome),
            Judgement::Publish(bytes) => Settled::Publish(lead.publish(bytes.map(Bytes::from)), outcome),
            Judgement::Unencodable => {
                let error = Error::Codec {
                    key: lead.key().clone(),
                };
                drop(lead);
                Settled::Return(self.published(Err(error), outcome))
            }
        }
    }

    fn published(&self, published: Result<(), Error>, outcome: R) -> R {
        match published {
            Ok(()) => outcome,
            Err(error) => self.carry(error).unwrap_or(outcome),
        }
    }

    fn carry(&self, error: Error) -> Option<R> {
        (self.rules.carry)(&self.carry, error)
    }
}

/// A call at the engine's door, and what to ask again with where a hit turns out to be unreadable.
struct Entering {
    future: Boxed<Result<Entered, Error>>,
    order: Option<Box<Order>>,
}

impl Entering {
    fn refuse(&mut self, tag: String) {
        let order = self
            .order
            .as_mut()
            .expect("only a call that was entered can be answered");
        order.refuse = Some(tag);
        self.future = engine::enter(Order::clone(order));
    }
}

impl Draft {
    /// Not generic: one copy serves every annotated function.
    fn enter(self, body_type: &'static str) -> Entering {
        match self.order(body_type) {
            Ok(order) => Entering {
                future: engine::enter(order.clone()),
                order: Some(Box::new(order)),
            },
            Err(error) => Entering {
                future: Box::pin(std::future::ready(Err(error))),
                order: None,
            },
        }
    }

    fn order(self, body_type: &'static str) -> Result<Order, Error> {
        let Self {
            site,
            options,
            hasher,
        } = self;
        let key = hasher.finish(site, options.prefix.clone(), body_type)?;
        Ok(Order {
            key,
            site: Cow::Borrowed(site.label()),
            options,
            shared: site.is_shared(),
            refuse: None,
        })
    }
}

/// Names the type of an async body, which would otherwise be inferred too late for coercions. It is never called.
pub fn never<R>() -> R {
    unreachable!("the shim of an annotated function calls this under `if false`")
}
