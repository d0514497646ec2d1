//! The rim of the engine: the only code that is compiled anew for every annotated function, and therefore little.
//!
//! The shim builds a [`Call`] (options and key), names the return type with [`Call::returning`] and hands the body to
//! [`Returning::run`] or [`Returning::run_blocking`]. From there on the engine decides. `run.rs` is the future of an
//! async call, `verdict.rs` what sync and async calls have in common.

use std::any::type_name;
use std::marker::PhantomData;
use std::time::Duration;

use crate::Error;
use crate::blocking;
use crate::engine::{self, Boxed, Entered, Order};
use crate::key::{KeyHasher, KeyPart, site_name};
use crate::options::{Options, Wait};
use crate::outcome::{ByFrom, Discarded, Kept, MapErr, OnError, Outcome};
use crate::run::Run;
use crate::site::Site;
use crate::verdict::{Settled, Step, Verdict};

/// One call on its way to a key. `K` says whether its value is kept, `J` what becomes of a lock error.
pub struct Call<K = Discarded, J = ByFrom> {
    // Boxed, as it lives in the caller's future where a key expression awaits.
    draft: Box<Draft>,
    carry: J,
    keep: PhantomData<fn() -> K>,
}

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
    pub fn run_unlocked<Kind>(self, _: Kind) -> Call<K, OnError<Kind>> {
        self.carrying(OnError::new(false))
    }

    /// `on_error = panic`.
    pub fn panic<Kind>(self, _: Kind) -> Call<K, OnError<Kind>> {
        self.carrying(OnError::new(true))
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
            verdict: Verdict::new(self.carry),
        }
    }
}

/// A call that knows what its outcomes mean, and lacks only the body.
pub struct Returning<R, J> {
    draft: Box<Draft>,
    verdict: Verdict<R, J>,
}

impl<R, J> Returning<R, J> {
    /// Runs an async body under the lock, or takes another's outcome in its place.
    pub fn run<F: Future<Output = R>>(self, body: F) -> Run<F, R, J> {
        Run::new(self.draft.enter(type_name::<F>()), self.verdict, body)
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

/// A call at the engine's door, and what to ask again with where a hit turns out to be unreadable.
pub(crate) struct Entering {
    pub(crate) future: Boxed<Result<Entered, Error>>,
    order: Option<Box<Order>>,
}

impl Entering {
    /// A call that need not ask the engine.
    pub(crate) fn answered(answer: Result<Entered, Error>) -> Self {
        Self {
            future: Box::pin(std::future::ready(answer)),
            order: None,
        }
    }

    /// Asks once more, and says that the value with this tag could not be read.
    pub(crate) fn refuse(&mut self, tag: String) {
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
            Err(error) => Entering::answered(Err(error)),
        }
    }

    fn order(self, body_type: &'static str) -> Result<Order, Error> {
        let Self {
            site,
            options,
            hasher,
        } = self;
        let name = site_name(site, body_type);
        let key = hasher.finish(options.prefix.clone(), &name)?;
        Ok(Order {
            key,
            site: name,
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
