//! `dspinlock::site`: what the attribute does, as a block. It builds the same [`Draft`] as the shim, and shares every later step.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::block::{self, Block};
use super::entry::Entry;
use super::future::Run;
use super::keeping::{
    Errors, IntoTtl, Keeping, OwnedRule, RecordableError, Ttl, TtlRule, error_of, record, recorded,
};
use super::order::{Draft, Entering};
use super::part::KeyPart;
use super::policy::{ByFrom, Fail, Fails, LockError, MapErr, OnBusy, OnError, Skip};
use super::run_blocking::run_blocking;
use super::shape::Fallible;
use super::steps::Steps;
use super::storable::{Cached, CachedNear, Discarded, NearCacheable, Storable};
use super::task::{self, Detachable};
use crate::error::Error;
use crate::options::Wait;
use crate::pool::Pool;

/// Starts a locked block with this name. It does what `#[dspinlock(name = "...")]` does, without a function.
///
/// Use it if there is no function that could have the attribute: in the implementation of a trait, in a macro, around a
/// closure, and if the name or an option is known at run time only. The methods of [`SiteCall`] are the attribute's arguments, most of them under the
/// same name. [`run`](SiteCall::run) and [`run_blocking`](SiteCall::run_blocking) take the body, which returns a `Result`.
///
/// ```
/// # use dspinlock_runtime as dspinlock;
/// use std::time::Duration;
///
/// use dspinlock::{Error, Pool};
///
/// async fn report(id: u64, ttl: Duration) -> Result<String, Error> {
///     dspinlock::site("report")
///         .part(&id)
///         .cached()
///         .ttl(ttl)
///         .run(async { Ok(format!("report {id}")) }) // an expensive query
///         .await
/// }
///
/// # tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
/// dspinlock::init(Pool::open("sqlite::memory:")?)?;
/// assert_eq!(report(7, Duration::from_secs(600)).await?, "report 7");
/// # Ok::<(), Error>(())
/// # })?;
/// # Ok::<(), Error>(())
/// ```
///
/// # The key
///
/// The key is the name and each [`part`](SiteCall::part), in order. A function with `#[dspinlock(name = "report", key = id)]` and
/// [`Entry::of`] have the same key. Nothing else is in the key: neither the place of the block nor its types. Blocks and
/// functions with one name and equal parts share their results, also in two programs. So in a generic function, put what
/// distinguishes two instances into a part: the name is in messages and metrics. A stored value that cannot be decoded as the type of the block is
/// computed again, with a warning.
pub fn site(name: impl Into<Cow<'static, str>>) -> SiteCall {
    SiteCall {
        draft: Draft::new(&block::SITE),
        block: Block::new(name.into()),
        policy: ByFrom,
        rules: (),
        types: PhantomData,
    }
}

/// Builder of a locked block. [`site`] creates it.
///
/// Each method has the meaning and the default of an argument of the attribute. Search for the argument's name to find its
/// method. A wrong combination that the compiler
/// refuses in the attribute is either a missing method (`near_cache` and `err_ttl` exist after [`cached`](Self::cached)), or
/// [`Error::InvalidOption`] when the block runs. With [`run_unlocked`](Self::run_unlocked) it is a panic.
///
/// The type parameters say what is stored, what a lock error becomes, what a busy key means, and which results decide how long
/// they are kept. No program names them.
#[must_use = "a block does nothing until `run` or `run_blocking` is called"]
pub struct SiteCall<S = Discarded, P = ByFrom, B = Fail, K = ()> {
    draft: Draft,
    block: Block,
    policy: P,
    rules: K,
    types: PhantomData<fn() -> (S, B)>,
}

/// The rules of a block on how long its results are kept.
pub trait Rules<T, E> {
    #[doc(hidden)]
    fn keeping(self) -> Keeping<Result<T, E>>;
}

impl<T, E> Rules<T, E> for () {
    fn keeping(self) -> Keeping<Result<T, E>> {
        Keeping {
            ttl: None,
            errors: None,
        }
    }
}

/// A block that stores values.
pub trait StoresValues {}

impl StoresValues for Cached {}
impl StoresValues for CachedNear {}

/// `ttl = |value| ...`.
pub struct TtlWith<T, K>(Arc<OwnedRule<T>>, K);

impl<T: 'static, E, K: Rules<T, E>> Rules<T, E> for TtlWith<T, K> {
    fn keeping(self) -> Keeping<Result<T, E>> {
        let Self(rule, others) = self;
        let mut keeping = others.keeping();
        keeping.ttl = Some(TtlRule::Closure(Arc::new(move |outcome| {
            outcome.as_ref().ok().and_then(|value| rule(value))
        })));
        keeping
    }
}

/// `err_ttl = duration`.
pub struct ErrTtl<K>(Ttl, K);

impl<T, E: RecordableError, K: Rules<T, E>> Rules<T, E> for ErrTtl<K> {
    fn keeping(self) -> Keeping<Result<T, E>> {
        let Self(ttl, others) = self;
        recording(others.keeping(), TtlRule::Fixed(ttl))
    }
}

/// `err_ttl = |error| ...`.
pub struct ErrTtlWith<E, K>(Arc<OwnedRule<E>>, K);

impl<T, E: RecordableError + 'static, K: Rules<T, E>> Rules<T, E> for ErrTtlWith<E, K> {
    fn keeping(self) -> Keeping<Result<T, E>> {
        let Self(rule, others) = self;
        let rule = TtlRule::Closure(Arc::new(move |outcome: &Result<T, E>| {
            outcome.as_ref().err().and_then(|error| rule(error))
        }));
        recording(others.keeping(), rule)
    }
}

fn recording<T, E: RecordableError>(
    keeping: Keeping<Result<T, E>>,
    ttl: TtlRule<Result<T, E>>,
) -> Keeping<Result<T, E>> {
    let errors = Errors {
        record: |outcome| error_of(outcome).map(|error| record(error, |_| Duration::ZERO)),
        decode: recorded,
        ttl: Some(ttl),
    };
    Keeping {
        errors: Some(errors),
        ..keeping
    }
}

/// The arguments of the attribute.
impl<S, P, B, K> SiteCall<S, P, B, K> {
    /// Adds a part of the key, which implements `serde::Serialize`. The order and the type of the parts count: `7_u64` is another
    /// key than `7_u32`. Default: no parts, so that the name alone is the key.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// let block = dspinlock::site("price").part(&7_u64).part("eu");
    /// # let _ = block;
    /// ```
    pub fn part(mut self, part: &(impl KeyPart + ?Sized)) -> Self {
        part.feed(&mut self.draft.hasher);
        self
    }

    /// The first part of the name in the store: 1 to 64 bytes without braces, commas or control characters. Default: `dspinlock`.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// let block = dspinlock::site("price").prefix("shop");
    /// # let _ = block;
    /// ```
    pub fn prefix(mut self, prefix: impl Into<Cow<'static, str>>) -> Self {
        self.draft.options().prefix = prefix.into();
        self
    }

    /// A part of the key, so that two versions of a program neither read nor overwrite each other's values. Default: none.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// let block = dspinlock::site("price").version(2);
    /// # let _ = block;
    /// ```
    pub fn version(mut self, version: u32) -> Self {
        self.block.version = Some(version);
        self
    }

    /// A readable text beside the entry, in [`Status`](crate::Status) and in the messages that name the holder: at most 64 bytes.
    /// Default: none.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// let block = dspinlock::site("price").part(&7).label(format!("order {}", 7));
    /// # let _ = block;
    /// ```
    pub fn label(mut self, label: impl Into<Box<str>>) -> Self {
        self.draft.own().label = Some(label.into());
        self
    }

    /// The pool of the block. Default: the pool of the scope, of the runtime or of the process.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// let pool = dspinlock::Pool::open("sqlite::memory:")?;
    /// let block = dspinlock::site("price").pool(&pool);
    /// # let _ = block;
    /// # Ok::<(), dspinlock::Error>(())
    /// ```
    pub fn pool(mut self, pool: &Pool) -> Self {
        self.draft.own().pool = Some(pool.clone());
        self
    }

    /// Adds a value that calls with this key must agree on. A call with another value fails with [`Error::KeyReused`]. The store
    /// keeps a digest of the values.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// let block = dspinlock::site("pay").part("c0ffee").validating(&100).cached();
    /// # let _ = block;
    /// ```
    #[doc(alias = "validate")]
    pub fn validating(mut self, part: &(impl KeyPart + ?Sized)) -> Self {
        part.feed(self.draft.own().validated.get_or_insert_default());
        self
    }

    /// How long a value is kept after the body. Default: 1 h. It needs [`cached`](Self::cached) or
    /// [`fail_if_key_exists`](Self::fail_if_key_exists).
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// # use std::time::Duration;
    /// let block = dspinlock::site("price").cached().ttl(Duration::from_secs(600));
    /// # let _ = block;
    /// ```
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.draft.options().ttl = ttl;
        self.block.has_ttl = true;
        self
    }

    /// How long each value is kept: a closure that receives the value after the body, and returns a `Duration` or an
    /// `Option<Duration>`. `None` means that the value is not kept.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// # use std::time::Duration;
    /// struct Token { expires_in: Duration }
    /// let block = dspinlock::site("token").fail_if_key_exists().ttl_with(|token: &Token| token.expires_in);
    /// # let _ = block;
    /// ```
    #[doc(alias = "ttl")]
    pub fn ttl_with<T, D: IntoTtl>(
        mut self,
        ttl: impl Fn(&T) -> D + Send + Sync + 'static,
    ) -> SiteCall<S, P, B, TtlWith<T, K>> {
        self.block.has_ttl_rule = true;
        self.with_rules(|others| TtlWith(Arc::new(move |value| Some(ttl(value).into_ttl())), others))
    }

    /// How long the call waits for another one that holds the key. Default: 30 s, and at least 5 s longer than the lease. With zero
    /// it does not wait.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// # use std::time::Duration;
    /// let block = dspinlock::site("price").wait(Duration::from_secs(60));
    /// # let _ = block;
    /// ```
    pub fn wait(mut self, limit: Duration) -> Self {
        self.draft.options().wait = Some(Wait::AtMost(limit));
        self
    }

    /// `wait = forever`: the call waits without a limit.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// let block = dspinlock::site("price").wait_forever();
    /// # let _ = block;
    /// ```
    pub fn wait_forever(mut self) -> Self {
        self.draft.options().wait = Some(Wait::Forever);
        self
    }

    /// The time to wait as a number of [`spinlock_sleep_thresh`](Self::spinlock_sleep_thresh), at least 1. It is an
    /// error together with [`wait`](Self::wait).
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// let block = dspinlock::site("price").max_spinlock_tries(20);
    /// # let _ = block;
    /// ```
    pub fn max_spinlock_tries(mut self, tries: u32) -> Self {
        let options = self.draft.options();
        options.max_spinlock_tries = tries;
        options.outlasts_lease = false;
        self
    }

    /// The longest sleep between two tries to acquire the lock. Default: 500 ms.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// # use std::time::Duration;
    /// let block = dspinlock::site("price").spinlock_sleep_thresh(Duration::from_millis(100));
    /// # let _ = block;
    /// ```
    pub fn spinlock_sleep_thresh(mut self, sleep: Duration) -> Self {
        self.draft.options().spinlock_sleep_thresh = sleep;
        self
    }

    /// How long the lock outlives a holder that stopped renewing it: at least 100 ms. Default: 15 s, or `max_block_time` if that is
    /// shorter.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// # use std::time::Duration;
    /// let block = dspinlock::site("price").lease(Duration::from_secs(5));
    /// # let _ = block;
    /// ```
    pub fn lease(mut self, lease: Duration) -> Self {
        self.draft.options().lease = Some(lease);
        self
    }

    /// How long the body may hold the lock. Default: 30 min.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// # use std::time::Duration;
    /// let block = dspinlock::site("price").max_block_time(Duration::from_secs(60));
    /// # let _ = block;
    /// ```
    pub fn max_block_time(mut self, limit: Duration) -> Self {
        self.draft.options().max_block_time = limit;
        self
    }

    /// How many Redis replicas must acknowledge the lock. Default: 0.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// let block = dspinlock::site("price").replicas(1);
    /// # let _ = block;
    /// ```
    pub fn replicas(mut self, replicas: u32) -> Self {
        self.draft.options().replicas = replicas;
        self
    }

    /// An existing key is [`Error::FailIfKeyExistsIsEnabled`]. After the body the key stays computed for the `ttl`: for a job that runs
    /// once.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// let block = dspinlock::site("job").part("2026-01-02").fail_if_key_exists();
    /// # let _ = block;
    /// ```
    pub fn fail_if_key_exists(mut self) -> Self {
        self.draft.options().fail_if_key_exists = true;
        self
    }

    /// `on_store_error = run_unlocked`: if the store cannot be asked, the body runs without it, one at a time in this process.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// let block = dspinlock::site("price").cached().run_unlocked_on_store_error();
    /// # let _ = block;
    /// ```
    #[doc(alias = "on_store_error")]
    pub fn run_unlocked_on_store_error(mut self) -> Self {
        self.block.runs_unlocked = true;
        self
    }

    /// `on_busy = skip`: a call whose key is held or computed returns `Ok(())` or `Ok(None)` and runs nothing. The body returns
    /// `Result<(), E>` or `Result<Option<T>, E>`. The default of `wait` is then zero.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// let block = dspinlock::site("job").part("2026-01-02").fail_if_key_exists().skip_if_busy();
    /// # let _ = block;
    /// ```
    #[doc(alias = "on_busy")]
    pub fn skip_if_busy(mut self) -> SiteCall<S, P, Skip, K> {
        self.block.skips = true;
        self.typed()
    }

    fn typed<Storage, Busy>(self) -> SiteCall<Storage, P, Busy, K> {
        SiteCall {
            draft: self.draft,
            block: self.block,
            policy: self.policy,
            rules: self.rules,
            types: PhantomData,
        }
    }

    fn with_rules<Rule>(self, rules: impl FnOnce(K) -> Rule) -> SiteCall<S, P, B, Rule> {
        SiteCall {
            draft: self.draft,
            block: self.block,
            policy: self.policy,
            rules: rules(self.rules),
            types: PhantomData,
        }
    }
}

/// Whether the value is stored.
impl<P, B, K> SiteCall<Discarded, P, B, K> {
    /// `cached_if_computed`: the value is stored, and later calls return it. It implements `serde::Serialize` and
    /// `serde::Deserialize`. An `Err` is not stored. Default: a call computes each time, one at a time.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{Error, Pool};
    ///
    /// let pool = Pool::open("sqlite::memory:")?;
    /// let block = || dspinlock::site("price").part(&7).pool(&pool).cached();
    /// assert_eq!(block().run_blocking(|| Ok::<_, Error>(21))?, 21);
    /// assert_eq!(block().run_blocking(|| Ok::<_, Error>(22))?, 21); // stored
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "cached_if_computed")]
    pub fn cached(mut self) -> SiteCall<Cached, P, B, K> {
        self.draft.cached = true;
        self.typed()
    }
}

/// Copies of stored values in this process.
impl<P, B, K> SiteCall<Cached, P, B, K> {
    /// Stores decoded values in this process for at most this age. The value is `Clone + Send + Sync`. A push of the server removes
    /// it. Default: no near cache.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// # use std::time::Duration;
    /// let block = dspinlock::site("price").cached().near_cache(Duration::from_secs(10));
    /// # let _ = block;
    /// ```
    pub fn near_cache(mut self, age: Duration) -> SiteCall<CachedNear, P, B, K> {
        self.draft.near_cache = Some(age);
        self.typed()
    }
}

/// Stored errors.
impl<S: StoresValues, P, B, K> SiteCall<S, P, B, K> {
    /// Stores an `Err` too, for this long, so that callers do not compute it one after another. Zero passes the error only to the
    /// calls that wait already. The error implements `serde::Serialize` and `serde::Deserialize`. Default: no `Err` is stored.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// # use std::time::Duration;
    /// let block = dspinlock::site("price").cached().err_ttl(Duration::from_secs(1));
    /// # let _ = block;
    /// ```
    pub fn err_ttl(mut self, ttl: Duration) -> SiteCall<S, P, B, ErrTtl<K>> {
        self.draft.own().err_ttl = Some(ttl);
        self.block.records_errors = true;
        self.with_rules(|others| ErrTtl(ttl.into_ttl(), others))
    }

    /// How long each `Err` is stored: a closure that receives the error, and returns a `Duration` or an `Option<Duration>`. `None`
    /// means that it is not stored.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// # use std::time::Duration;
    /// #[derive(serde::Serialize, serde::Deserialize)]
    /// enum Failed { Refused, Unreachable }
    /// let block = dspinlock::site("login").cached().err_ttl_with(|error: &Failed| match error {
    ///     Failed::Refused => Some(Duration::from_secs(60)),
    ///     Failed::Unreachable => None,
    /// });
    /// # let _ = block;
    /// ```
    #[doc(alias = "err_ttl")]
    pub fn err_ttl_with<E, D: IntoTtl>(
        mut self,
        ttl: impl Fn(&E) -> D + Send + Sync + 'static,
    ) -> SiteCall<S, P, B, ErrTtlWith<E, K>> {
        self.block.records_errors = true;
        self.with_rules(|others| ErrTtlWith(Arc::new(move |error| Some(ttl(error).into_ttl())), others))
    }
}

/// What a lock error becomes.
impl<S, B, K> SiteCall<S, ByFrom, B, K> {
    /// Converts a lock error. Default: `From<dspinlock::Error>`.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// let block = dspinlock::site("price").map_err(|error| error.to_string());
    /// let price: Result<u64, String> = block.version(2).prefix("{").run_blocking(|| Ok(21));
    /// assert!(price.is_err(), "the prefix cannot be used");
    /// ```
    pub fn map_err<M>(self, map: fn(Error) -> M) -> SiteCall<S, MapErr<M>, B, K> {
        self.with_policy(MapErr(map))
    }

    /// `on_error = run_unlocked`: after a lock error the body runs without the lock, with a warning in the log. So the error of the
    /// body need not be made from a lock error.
    ///
    /// With [`validating`](Self::validating) or [`run_unlocked_on_store_error`](Self::run_unlocked_on_store_error) the last step
    /// panics, because an error would run the body.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// let block = dspinlock::site("price").run_unlocked();
    /// # let _ = block;
    /// ```
    #[doc(alias = "on_error")]
    pub fn run_unlocked(mut self) -> SiteCall<S, OnError<Fallible>, B, K> {
        self.block.runs_after_errors = true;
        self.with_policy(OnError::new(false))
    }

    /// `on_error = panic`: a lock error is a panic.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// let block = dspinlock::site("price").panic_on_error();
    /// # let _ = block;
    /// ```
    #[doc(alias = "on_error")]
    pub fn panic_on_error(self) -> SiteCall<S, OnError<Fallible>, B, K> {
        self.with_policy(OnError::new(true))
    }

    fn with_policy<Policy>(self, policy: Policy) -> SiteCall<S, Policy, B, K> {
        SiteCall {
            draft: self.draft,
            block: self.block,
            policy,
            rules: self.rules,
            types: PhantomData,
        }
    }
}

type BlockSteps<T, E, P> = Steps<Result<T, E>, P, Keeping<Result<T, E>>>;
type BlockRun<F, T, E, P> = Run<F, Result<T, E>, P, Keeping<Result<T, E>>>;

/// The last step.
impl<S, P: Fails, B, K> SiteCall<S, P, B, K> {
    fn steps<T, E>(mut self) -> (Draft, BlockSteps<T, E, P>)
    where
        T: Storable<S> + NearCacheable<S>,
        E: LockError<P>,
        Result<T, E>: OnBusy<B>,
        K: Rules<T, E>,
    {
        if self.block.skips {
            let options = self.draft.options();
            if options.wait.is_none() && options.outlasts_lease {
                options.wait = Some(Wait::AtMost(Duration::ZERO));
            }
        }
        let own = self.draft.own();
        self.block.check_unlocked(own.validated.is_some());
        own.block = Some(self.block);
        let steps = Steps::new::<S, B>(self.policy).with(self.rules.keeping());
        (self.draft, steps)
    }

    /// Runs an async body under the lock, unless the result of another call is returned. Allocates once for each call.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{Error, Pool};
    ///
    /// # tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
    /// let pool = Pool::open("sqlite::memory:")?;
    /// let block = dspinlock::site("price").part(&7).pool(&pool).cached();
    /// let price: u64 = block.run(async { Ok::<_, Error>(21) }).await?;
    /// assert_eq!(price, 21);
    /// # Ok::<(), Error>(())
    /// # })?;
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The error of the body, and each [`Error`] of a locked call, converted by `From` or [`map_err`](Self::map_err):
    ///
    /// - [`Error::InvalidOption`] if the name is empty, if an option is out of range, or if two options contradict each other.
    /// - [`Error::ProvidedObjectIsNotHashable`] if the `Serialize` implementation of a part returned an error.
    /// - [`Error::SpinlockTriesExceeded`] after `wait`, and [`Error::FailIfKeyExistsIsEnabled`] if the key exists.
    /// - [`Error::KeyReused`] if the call validates other values than the one that has the key.
    /// - [`Error::Store`], [`Error::RedisNotInitialized`] or [`Error::EmbeddedNotInitialized`] if the store fails.
    ///
    /// # Cancellation safety
    ///
    /// If the future is dropped, the body is dropped and the lock is freed. Another call then runs its body.
    pub fn run<F, T, E>(self, body: F) -> BlockRun<F, T, E, P>
    where
        F: Future<Output = Result<T, E>>,
        T: Storable<S> + NearCacheable<S>,
        E: LockError<P>,
        Result<T, E>: OnBusy<B>,
        K: Rules<T, E>,
    {
        let (mut draft, steps) = self.steps();
        Run::new(Entering::new(draft.order::<F>()), steps, body)
    }

    /// Runs a sync body under the lock, unless the result of another call is returned. Blocks the thread.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{Error, Pool};
    ///
    /// let pool = Pool::open("sqlite::memory:")?;
    /// let block = dspinlock::site("price").part(&7).pool(&pool).cached();
    /// let price: u64 = block.run_blocking(|| Ok::<_, Error>(21))?;
    /// assert_eq!(price, 21);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The error of the body, and each [`Error`] of a locked call, converted by `From` or [`map_err`](Self::map_err):
    ///
    /// - [`Error::InvalidOption`] if the name is empty, if an option is out of range, or if two options contradict each other.
    /// - [`Error::ProvidedObjectIsNotHashable`] if the `Serialize` implementation of a part returned an error.
    /// - [`Error::SpinlockTriesExceeded`] after `wait`, and [`Error::FailIfKeyExistsIsEnabled`] if the key exists.
    /// - [`Error::KeyReused`] if the call validates other values than the one that has the key.
    /// - [`Error::Store`], [`Error::RedisNotInitialized`] or [`Error::EmbeddedNotInitialized`] if the store fails.
    pub fn run_blocking<F, T, E>(self, body: F) -> Result<T, E>
    where
        F: FnOnce() -> Result<T, E>,
        T: Storable<S> + NearCacheable<S>,
        E: LockError<P>,
        Result<T, E>: OnBusy<B>,
        K: Rules<T, E>,
    {
        let (mut draft, steps) = self.steps();
        let mut entering = Entering::new(draft.order::<F>());
        run_blocking(&mut entering, &steps, body)
    }

    /// `detach`: [`run`](Self::run), with the body as a task of the current tokio runtime. The body goes on for up to
    /// `max_block_time` if the call is dropped, and its result is published.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{Error, Pool};
    ///
    /// # tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
    /// let pool = Pool::open("sqlite::memory:")?;
    /// let block = dspinlock::site("price").part(&7).pool(&pool).cached();
    /// let price: u64 = block.run_detached(async { Ok::<_, Error>(21) }).await?;
    /// assert_eq!(price, 21);
    /// # Ok::<(), Error>(())
    /// # })?;
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`run`](Self::run), [`Error::LeaseLost`] if the body was stopped after `max_block_time`, and
    /// [`Error::InvalidOption`] outside of a tokio runtime.
    ///
    /// # Cancellation safety
    ///
    /// If the future is dropped before the lock is acquired, the body does not run. If it is dropped later, the body goes on.
    pub async fn run_detached<F, T, E>(self, body: F) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>> + Detachable,
        Result<T, E>: Detachable,
        P: Clone + Send + 'static,
        T: Storable<S> + NearCacheable<S>,
        E: LockError<P>,
        Result<T, E>: OnBusy<B>,
        K: Rules<T, E>,
    {
        let (mut draft, steps) = self.steps();
        task::detached(Entering::new(draft.order::<F>()), steps, body).await
    }

    /// `on_lease_lost = cancel`: [`run`](Self::run), but the body is dropped if the lease is lost. A cached call then waits for
    /// the value of the new holder.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{Error, Pool};
    ///
    /// # tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
    /// let pool = Pool::open("sqlite::memory:")?;
    /// let block = dspinlock::site("price").part(&7).pool(&pool).cached();
    /// let price: u64 = block.run_cancelled(async { Ok::<_, Error>(21) }).await?;
    /// assert_eq!(price, 21);
    /// # Ok::<(), Error>(())
    /// # })?;
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`run`](Self::run), and [`Error::LeaseLost`] if the lease was lost and there is no value of another call.
    ///
    /// # Panics
    ///
    /// Panics after [`run_unlocked`](Self::run_unlocked), because the dropped body cannot run.
    ///
    /// # Cancellation safety
    ///
    /// As for [`run`](Self::run).
    pub async fn run_cancelled<F, T, E>(self, body: F) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
        P: Clone,
        T: Storable<S> + NearCacheable<S>,
        E: LockError<P>,
        Result<T, E>: OnBusy<B>,
        K: Rules<T, E>,
    {
        self.block.check_cancelled();
        let (mut draft, steps) = self.steps();
        task::cancelled(Entering::new(draft.order::<F>()), steps, body).await
    }

    /// The entry of the block: its key, without a call. Runs nothing and sends nothing.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{Entry, Error, Pool};
    ///
    /// let pool = Pool::open("sqlite::memory:")?;
    /// let block = || dspinlock::site("price").part(&7).pool(&pool).cached();
    /// block().run_blocking(|| Ok::<u64, Error>(21))?;
    /// let entry = block().entry::<u64, Error>();
    /// assert!(entry.invalidate_blocking()?);
    /// assert_eq!(entry.key()?, Entry::of::<u64>("price").part(&7).pool(&pool).key()?);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn entry<T, E>(self) -> Entry<Result<T, E>>
    where
        T: Storable<S> + NearCacheable<S>,
        E: LockError<P>,
        Result<T, E>: OnBusy<B>,
        K: Rules<T, E>,
    {
        let (mut draft, steps) = self.steps();
        steps.entry(draft.order::<()>().spec())
    }
}

impl<S, P, B, K> fmt::Debug for SiteCall<S, P, B, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SiteCall").finish_non_exhaustive()
    }
}
