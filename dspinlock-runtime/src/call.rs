//! The generic shell: the only code that is compiled once per annotated function, so it must stay small. It decides nothing
//! about a lock: `engine` does.
//!
//! The attribute's shim builds a [`Call`] (options and key), names the return type with [`Call::returning`], and passes the
//! body to [`Returning::run`] or [`Returning::run_blocking`]. `site_call` does the same for `dspinlock::site`. `order` calls the
//! engine, `steps` has the steps that sync and async calls share, `future` is the future of an async call, and `run_blocking` runs a
//! sync one.

mod block;
mod ended;
mod entry;
mod future;
mod keeping;
mod names;
mod order;
mod part;
mod policy;
mod run_blocking;
mod shape;
mod site;
mod site_call;
mod site_name;
mod steps;
mod storable;
mod task;
mod unreadable;
mod unstored;

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

pub use self::entry::Entry;
pub use self::future::Run;
pub use self::keeping::{
    ErrorOf, IntoTtl, Keep, Keeping, RecordableError, Recorded, Ttl, ValueOf, error_of, record, recorded, ttl,
};
use self::keeping::{Errors, TtlRule};
use self::order::{Draft, Entering};
pub use self::part::KeyPart;
pub use self::policy::{
    BecomesError, ByFrom, Fail, Fails, LockError, MapErr, OnBusy, OnError, ReturnType, Skip, Tries,
};
use self::run_blocking::run_blocking;
pub use self::shape::{Fallible, Plain, Shape};
pub use self::site::Site;
pub use self::site_call::{ErrTtl, ErrTtlWith, Rules, SiteCall, StoresValues, TtlWith, site};
use self::steps::Steps;
pub use self::storable::{Cached, CachedNear, CachedShared, Discarded, NearCacheable, NoValue, Storable};
pub use self::task::Detachable;
use crate::codec::Undecodable;
use crate::error::Error;
use crate::options::Wait;
use crate::pool::Pool;

/// Builder of one call. `S` says which values are stored, `P` what a lock error becomes, and `B` what a call does that finds
/// its key busy.
pub struct Call<S = Discarded, P = ByFrom, B = Fail> {
    draft: Draft,
    policy: P,
    storage: PhantomData<fn() -> (S, B)>,
}

impl Call {
    /// Starts to build a call of the function with this site.
    #[inline]
    pub fn new(site: &'static Site) -> Self {
        Self {
            draft: Draft::new(site),
            policy: ByFrom,
            storage: PhantomData,
        }
    }
}

// Inlined: each step moves the call, and a move that is not optimized away costs more than the step.
impl<S, P, B> Call<S, P, B> {
    /// Adds a part of the key.
    #[inline]
    pub fn part<T: KeyPart + ?Sized>(mut self, part: &T) -> Self {
        part.feed(&mut self.draft.hasher);
        self
    }

    /// `replicas = expr`.
    pub fn replicas(mut self, replicas: u32) -> Self {
        self.draft.options().replicas = replicas;
        self
    }

    /// `max_spinlock_tries = expr`.
    pub fn max_spinlock_tries(mut self, tries: u32) -> Self {
        let options = self.draft.options();
        options.max_spinlock_tries = tries;
        options.outlasts_lease = false;
        self
    }

    /// `spinlock_sleep_thresh = expr`.
    pub fn spinlock_sleep_thresh(mut self, sleep: Duration) -> Self {
        self.draft.options().spinlock_sleep_thresh = sleep;
        self
    }

    /// `wait = expr`.
    pub fn wait(mut self, limit: Duration) -> Self {
        self.draft.options().wait = Some(Wait::AtMost(limit));
        self
    }

    /// `ttl = expr`.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.draft.options().ttl = ttl;
        self
    }

    /// `err_ttl = expr`.
    pub fn err_ttl(mut self, ttl: Duration) -> Self {
        self.draft.own().err_ttl = Some(ttl);
        self
    }

    /// `max_block_time = expr`.
    pub fn max_block_time(mut self, limit: Duration) -> Self {
        self.draft.options().max_block_time = limit;
        self
    }

    /// `lease = expr`.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.draft.options().lease = Some(lease);
        self
    }

    /// `pool = expr`.
    pub fn pool(mut self, pool: &Pool) -> Self {
        self.draft.own().pool = Some(pool.clone());
        self
    }

    /// A part of `validate = ...`.
    pub fn validating<T: KeyPart + ?Sized>(mut self, part: &T) -> Self {
        let validated = &mut self.draft.own().validated;
        part.feed(validated.get_or_insert_default());
        self
    }

    /// `label = "..."`.
    pub fn label(mut self, label: fmt::Arguments<'_>) -> Self {
        self.draft.own().label = Some(label.to_string().into());
        self
    }

    /// `near_cache = expr`.
    pub fn near_cache(mut self, age: Duration) -> Self {
        self.draft.near_cache = Some(age);
        self
    }

    /// `cached_if_computed`.
    #[inline]
    pub fn cached(self) -> Call<Cached, P, B> {
        self.storing()
    }

    /// `cached_if_computed` and `name = ""`.
    #[inline]
    pub fn cached_shared(self) -> Call<CachedShared, P, B> {
        self.storing()
    }

    /// `cached_if_computed` and `near_cache`.
    #[inline]
    pub fn cached_near(self) -> Call<CachedNear, P, B> {
        self.storing()
    }

    #[inline]
    fn storing<Storage>(mut self) -> Call<Storage, P, B> {
        self.draft.cached = true;
        Call {
            draft: self.draft,
            policy: self.policy,
            storage: PhantomData,
        }
    }

    /// `map_err = path`.
    #[inline]
    pub fn map_err<M>(self, map: fn(Error) -> M) -> Call<S, MapErr<M>, B> {
        self.with_policy(MapErr(map))
    }

    /// `on_error = run_unlocked`.
    #[inline]
    pub fn run_unlocked<Kind>(self, _: Kind) -> Call<S, OnError<Kind>, B> {
        self.with_policy(OnError::new(false))
    }

    /// `on_error = panic`.
    #[inline]
    pub fn panic<Kind>(self, _: Kind) -> Call<S, OnError<Kind>, B> {
        self.with_policy(OnError::new(true))
    }

    /// `on_busy = skip`.
    #[inline]
    pub fn skip_busy(self) -> Call<S, P, Skip> {
        Call {
            draft: self.draft,
            policy: self.policy,
            storage: PhantomData,
        }
    }

    #[inline]
    fn with_policy<Policy>(self, policy: Policy) -> Call<S, Policy, B> {
        Call {
            draft: self.draft,
            policy,
            storage: PhantomData,
        }
    }

    /// Sets the return type. No other step has a bound on it, so a type that violates a bound causes one compiler error.
    #[inline]
    pub fn returning<R>(self) -> Returning<R, P>
    where
        R: ReturnType<P, Value: Storable<S> + NearCacheable<S>, Error: LockError<P>> + OnBusy<B>,
    {
        Returning {
            draft: self.draft,
            steps: Steps::new::<S, B>(self.policy),
        }
    }
}

impl<P, B> Call<CachedShared, P, B> {
    /// As `returning`, for a shared key. A separate step, because it has its own compiler message.
    #[inline]
    pub fn returning_no_value<R>(self) -> Returning<R, P>
    where
        R: ReturnType<P, Value: NoValue, Error: LockError<P>> + OnBusy<B>,
    {
        self.returning()
    }
}

/// A call that is complete except for its body.
pub struct Returning<R, P, K = ()> {
    draft: Draft,
    steps: Steps<R, P, K>,
}

impl<R, P> Returning<R, P> {
    /// `ttl = |value| ...`, `err_ttl = ...` or both.
    pub fn keeping(self) -> Returning<R, P, Keeping<R>> {
        Returning {
            draft: self.draft,
            steps: self.steps.with(Keeping {
                ttl: None,
                errors: None,
            }),
        }
    }
}

impl<R, P> Returning<R, P, Keeping<R>> {
    /// `ttl = |value| ...`.
    pub fn ttl(mut self, ttl: fn(&R) -> Option<Ttl>) -> Self {
        self.steps.keep.ttl = Some(TtlRule::Pointer(ttl));
        self
    }

    /// `err_ttl = ...`.
    pub fn err_ttl(
        mut self,
        record: fn(&R) -> Option<Recorded>,
        decode: fn(&[u8]) -> Result<R, Undecodable>,
    ) -> Self {
        let ttl = self.draft.own.as_ref().and_then(|own| own.err_ttl);
        self.steps.keep.errors = Some(Errors {
            record,
            decode,
            ttl: ttl.map(|ttl| TtlRule::Fixed(ttl.into_ttl())),
        });
        self
    }
}

impl<R, P, K: Keep<R>> Returning<R, P, K> {
    /// The entry of this call. `closure` gives the name of the generated function that calls this.
    pub fn entry<F>(mut self, _closure: F) -> Entry<R> {
        let spec = self.draft.order::<F>().spec();
        self.steps.entry(spec)
    }

    /// Runs an async body under the lock, unless another call's result is returned.
    #[inline]
    pub fn run<F: Future<Output = R>>(mut self, body: F) -> Run<F, R, P, K> {
        Run::new(Entering::new(self.draft.order::<F>()), self.steps, body)
    }

    /// `detach`: runs an async body as a task.
    pub async fn run_detached<F: Future<Output = R> + Detachable>(mut self, body: F) -> R
    where
        R: Detachable,
        P: Clone + Send + 'static,
        K: Send + 'static,
    {
        task::detached(Entering::new(self.draft.order::<F>()), self.steps, body).await
    }

    /// `on_lease_lost = cancel`: drops an async body if the lease is lost.
    pub async fn run_cancelled<F: Future<Output = R>>(mut self, body: F) -> R
    where
        P: Clone,
    {
        task::cancelled(Entering::new(self.draft.order::<F>()), self.steps, body).await
    }

    /// Runs a sync body under the lock, unless another call's result is returned. Blocks the thread.
    pub fn run_blocking<F: FnOnce() -> R>(mut self, body: F) -> R {
        let mut entering = Entering::new(self.draft.order::<F>());
        run_blocking(&mut entering, &self.steps, body)
    }
}

/// Names the type of an async body, which would otherwise be inferred too late for coercions. The shim calls it under
/// `if false`.
pub fn never<R>() -> R {
    unreachable!("the shim of an annotated function calls this under `if false`")
}
