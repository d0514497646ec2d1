//! The rim of the engine: the only code that is compiled anew for every annotated function, and therefore little.
//!
//! The shim builds a [`Call`] (options and key), names the return type with [`Call::returning`] and hands the body to
//! [`Returning::run`] or [`Returning::run_blocking`]. From there on the engine decides. `run.rs` is the future of an
//! async call, `verdict.rs` what sync and async calls have in common.

pub(crate) mod future;
pub(crate) mod outcome;
pub(crate) mod site;
pub(crate) mod site_name;
mod steps;

use std::any::{Any, type_name};
use std::marker::PhantomData;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::Error;
use crate::call::future::Run;
use crate::call::outcome::{ByFrom, Discarded, Kept, KeptNear, MapErr, OnError, Outcome};
use crate::call::site::Site;
use crate::call::site_name::{site_name, site_name_pieces};
use crate::call::steps::{Settled, Step, Verdict};
use crate::engine::{self, Boxed, Entered, Order};
use crate::key::{Key, KeyHasher, KeyPart};
use crate::options::{Options, Wait};
use crate::pool::Pool;
use crate::rt::blocking;

/// One call on its way to a key. `K` says whether its value is kept, `J` what becomes of a lock error.
pub struct Call<K = Discarded, J = ByFrom> {
    draft: Draft,
    carry: J,
    keep: PhantomData<fn() -> K>,
}

struct Draft {
    site: &'static Site,
    hasher: KeyHasher,
    cached: bool,
    near_cache: Option<Duration>,
    /// Where one is an expression. Boxed: few calls have one, and they carry them in their future.
    options: Option<Box<Options>>,
}

impl Call {
    /// A call of the function that `site` describes.
    #[inline]
    pub fn new(site: &'static Site) -> Self {
        let hasher = KeyHasher::new(site.is_shared());
        let draft = Draft {
            site,
            hasher,
            cached: false,
            near_cache: site.near_cache,
            options: None,
        };
        Self {
            draft,
            carry: ByFrom,
            keep: PhantomData,
        }
    }
}

// Inlined: a call is moved from step to step, and each move that stays costs more than the step.
impl<K, J> Call<K, J> {
    /// One more part of the key.
    #[inline]
    pub fn part<P: KeyPart + ?Sized>(mut self, part: &P) -> Self {
        part.feed(&mut self.draft.hasher);
        self
    }

    fn options(&mut self) -> &mut Options {
        let site = &self.draft.site.options;
        self.draft.options.get_or_insert_with(|| Box::new(site.clone()))
    }

    /// `replicas = expr`.
    pub fn replicas(mut self, replicas: u32) -> Self {
        self.options().replicas = replicas;
        self
    }

    /// `max_spinlock_tries = expr`.
    pub fn max_spinlock_tries(mut self, tries: u32) -> Self {
        self.options().max_spinlock_tries = tries;
        self
    }

    /// `spinlock_sleep_thresh = expr`.
    pub fn spinlock_sleep_thresh(mut self, sleep: Duration) -> Self {
        self.options().spinlock_sleep_thresh = sleep;
        self
    }

    /// `wait = expr`.
    pub fn wait(mut self, most: Duration) -> Self {
        self.options().wait = Some(Wait::AtMost(most));
        self
    }

    /// `ttl = expr`.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.options().ttl = ttl;
        self
    }

    /// `max_block_time = expr`.
    pub fn max_block_time(mut self, most: Duration) -> Self {
        self.options().max_block_time = most;
        self
    }

    /// `lease = expr`.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.options().lease = Some(lease);
        self
    }

    /// `near_cache = expr`.
    pub fn near_cache(mut self, age: Duration) -> Self {
        self.draft.near_cache = Some(age);
        self
    }

    /// `cached_if_computed`.
    #[inline]
    pub fn cached(self) -> Call<Kept, J> {
        self.keeping()
    }

    /// `cached_if_computed` and `near_cache`.
    #[inline]
    pub fn cached_near(self) -> Call<KeptNear, J> {
        self.keeping()
    }

    #[inline]
    fn keeping<L>(mut self) -> Call<L, J> {
        self.draft.cached = true;
        Call {
            draft: self.draft,
            carry: self.carry,
            keep: PhantomData,
        }
    }

    /// `map_err = path`.
    #[inline]
    pub fn map_err<M>(self, map: fn(Error) -> M) -> Call<K, MapErr<M>> {
        self.carrying(MapErr(map))
    }

    /// `on_error = run_unlocked`.
    #[inline]
    pub fn run_unlocked<Kind>(self, _: Kind) -> Call<K, OnError<Kind>> {
        self.carrying(OnError::new(false))
    }

    /// `on_error = panic`.
    #[inline]
    pub fn panic<Kind>(self, _: Kind) -> Call<K, OnError<Kind>> {
        self.carrying(OnError::new(true))
    }

    #[inline]
    fn carrying<L>(self, carry: L) -> Call<K, L> {
        Call {
            draft: self.draft,
            carry,
            keep: PhantomData,
        }
    }

    /// The type that the function returns. The only step with a bound on it: what comes after does not depend on the
    /// bound, so that a type that breaks it gets one error and no second one at `run` or `await`.
    #[inline]
    pub fn returning<R: Outcome<K, J>>(self) -> Returning<R, J> {
        Returning {
            draft: self.draft,
            verdict: Verdict::new(self.carry),
        }
    }
}

/// A call that knows what its outcomes mean, and lacks only the body.
pub struct Returning<R, J> {
    draft: Draft,
    verdict: Verdict<R, J>,
}

impl<R, J> Returning<R, J> {
    /// Runs an async body under the lock, or takes another's outcome in its place.
    #[inline]
    pub fn run<F: Future<Output = R>>(mut self, body: F) -> Run<F, R, J> {
        Run::new(self.draft.start(type_name::<F>()), self.verdict, body)
    }

    /// Runs a sync body under the lock, or takes another's outcome in its place. Parks the thread meanwhile.
    pub fn run_blocking<F: FnOnce() -> R>(mut self, body: F) -> R {
        let start = self.draft.start(type_name::<F>());
        if let Some(outcome) = self.verdict.recalled(&start) {
            return outcome;
        }
        let mut entering = start.enter(type_name::<F>());
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

/// A call at the engine's door.
pub(crate) struct Entering {
    pub(crate) future: Boxed<Result<Entered, Error>>,
}

impl Entering {
    /// A call that need not ask the engine.
    pub(crate) fn answered(answer: Result<Entered, Error>) -> Self {
        Self {
            future: Box::pin(std::future::ready(answer)),
        }
    }

    /// Asks once more, and says that the value with this tag could not be read.
    pub(crate) fn refuse(&mut self, mut order: Box<Order>, tag: &[u8]) {
        order.refuse(tag);
        self.future = engine::enter(order);
    }
}

/// A call whose key is known and that has asked nobody yet.
pub(crate) struct Start {
    site: &'static Site,
    /// `None` where a part of the key could not be serialized.
    digest: Option<[u8; 32]>,
    cached: bool,
    near_cache: Option<Duration>,
    options: Option<Box<Options>>,
}

impl Draft {
    /// Not generic, as what follows: one copy serves every annotated function.
    fn start(&mut self, body_type: &'static str) -> Start {
        let site = self.site;
        let name = |hash: &mut Sha256| site_name_pieces(site, body_type, |piece| hash.update(piece));
        Start {
            site,
            digest: self.hasher.digest(name),
            cached: self.cached,
            near_cache: self.near_cache,
            options: self.options.take(),
        }
    }
}

impl Start {
    /// The value in the near cache. Nothing is allocated, and no lock taken.
    pub(crate) fn recall<R>(&self, recall: fn(&(dyn Any + Send + Sync)) -> Option<R>) -> Option<R> {
        let age = self.near_cache?;
        let key = Key::new(self.site.options.prefix.clone(), self.digest?);
        let pool = Pool::known()?;
        pool.near().recall(&pool.named(key), age, recall)
    }

    pub(crate) fn enter(self, body_type: &'static str) -> Entering {
        match self.order(body_type) {
            Ok(order) => Entering {
                future: engine::enter(order),
            },
            Err(error) => Entering::answered(Err(error)),
        }
    }

    fn order(self, body_type: &'static str) -> Result<Box<Order>, Error> {
        let site = site_name(self.site, body_type);
        let mut options = match self.options {
            Some(options) => *options,
            None => self.site.options.clone(),
        };
        options.cached_if_computed = self.cached;
        let Some(digest) = self.digest else {
            let site = site.into_owned();
            return Err(Error::ProvidedObjectIsNotHashable { site });
        };
        Ok(Box::new(Order {
            key: Key::new(options.prefix.clone(), digest),
            site,
            options,
            near_cache: self.near_cache,
            shared: self.site.is_shared(),
            refuse: None,
        }))
    }
}

/// Names the type of an async body, which would otherwise be inferred too late for coercions. It is never called.
pub fn never<R>() -> R {
    unreachable!("the shim of an annotated function calls this under `if false`")
}
