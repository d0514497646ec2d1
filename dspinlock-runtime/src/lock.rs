//! The explicit API: a lock as an object.

use std::borrow::Cow;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::engine;
use crate::error::Error;
use crate::key::{Key, KeyHasher, KeyPart};
use crate::lease::Lease;
use crate::options::{Options, Wait};
use crate::pool::Pool;
use crate::protocol::{Reply, Request};
use crate::rt::blocking;
use crate::store::Boxed;

/// A future of the explicit API: boxed, `Send` and `'static`, so that a trait object can return it.
#[must_use = "futures do nothing unless polled"]
pub struct Op<T>(Boxed<Result<T, Error>>);

impl<T> Op<T> {
    pub(crate) fn new(operation: impl Future<Output = Result<T, Error>> + Send + 'static) -> Self {
        Self(Box::pin(operation))
    }
}

impl<T> Future for Op<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(context)
    }
}

impl<T> fmt::Debug for Op<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Op")
    }
}

/// What an acquire gave.
#[derive(Debug)]
#[must_use = "a lease that is dropped gives the lock up at once"]
pub enum Acquired {
    /// The lock is held: compute, then [`Lease::release`].
    Locked(Lease),
    /// `cached_if_computed` is on and the result is there already; nothing was locked.
    Computed,
}

/// A lock with a key scheme of one's own. `key` is all that is needed.
///
/// ```
/// # mod dspinlock { pub use dspinlock_runtime::DSpinlockBase; }
/// use dspinlock::DSpinlockBase;
///
/// struct Nightly;
///
/// impl DSpinlockBase for Nightly {
///     fn key(&self) -> String {
///         "reports,nightly".into()
///     }
/// }
/// ```
pub trait DSpinlockBase {
    /// The store's name for the state: 1 to 512 bytes without braces and control characters. A pool with a secret makes
    /// another name of it, below the prefix `dspinlock`.
    #[doc(alias = "get_key")]
    fn key(&self) -> String;

    /// How to lock: the defaults.
    fn options(&self) -> Options {
        Options::default()
    }

    /// Where to lock: `None` is the process's pool.
    fn pool(&self) -> Option<Pool> {
        None
    }

    /// Takes the lock, waiting for whoever holds it.
    ///
    /// # Errors
    ///
    /// [`Error::SpinlockTriesExceeded`] after the wait, [`Error::FailIfKeyExistsIsEnabled`] at once where that option
    /// is on, [`Error::Recursion`] inside a body that holds the key, and whatever the store fails with.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the lock up, also while the request for it is under way.
    fn acquire(&self) -> Op<Acquired> {
        acquire(custom_key(&self.key()), self.options(), self.pool())
    }

    /// [`acquire`](Self::acquire) for callers without an executor; blocks the thread.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    fn acquire_blocking(&self) -> Result<Acquired, Error> {
        blocking::wait(self.acquire())
    }

    /// Forgets the key: its state, its value, and whoever holds it. Returns whether there was a state.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] or [`Error::RedisNotInitialized`] where the store cannot be asked.
    ///
    /// # Cancel safety
    ///
    /// A dropped future may or may not have deleted the key.
    #[doc(alias = "delete_atomic_query_mutex_state")]
    fn delete_state(&self) -> Op<bool> {
        delete_state(custom_key(&self.key()), self.options().replicas, self.pool())
    }

    /// [`delete_state`](Self::delete_state) for callers without an executor; blocks the thread.
    ///
    /// # Errors
    ///
    /// As [`delete_state`](Self::delete_state).
    fn delete_state_blocking(&self) -> Result<bool, Error> {
        blocking::wait(self.delete_state())
    }
}

fn custom_key(text: &str) -> Result<Key, Error> {
    Key::custom(text).map_err(|error| Error::Configuration(error.to_string()))
}

/// A lock on any value that can be serialized: the key is its hash.
///
/// A single text or byte string hashes as in py-dspinlock, so `HashDSpinlock::new("example")` and Python's
/// `HashDSpinlock("example")` are the same lock.
#[derive(Debug, Clone)]
pub struct HashDSpinlock {
    key: Key,
    options: Options,
    pool: Option<Pool>,
}

impl HashDSpinlock {
    /// The lock on `object`.
    ///
    /// # Errors
    ///
    /// [`Error::ProvidedObjectIsNotHashable`] where its `Serialize` fails.
    pub fn new<T: KeyPart + ?Sized>(object: &T) -> Result<Self, Error> {
        let mut hasher = KeyHasher::new(true);
        object.feed(&mut hasher);
        let options = Options::default();
        Ok(Self {
            key: hasher
                .finish(options.prefix.clone(), "HashDSpinlock")
                .map_err(|_| Error::ProvidedObjectIsNotHashable {
                    site: "HashDSpinlock".into(),
                })?,
            options,
            pool: None,
        })
    }

    /// The first part of the key, `dspinlock` by default: 1 to 64 bytes without braces, commas and control characters.
    #[doc(alias = "_key_prefix")]
    pub fn prefix(mut self, prefix: impl Into<Cow<'static, str>>) -> Self {
        self.options.prefix = prefix.into();
        self.key = self.key.with_prefix(self.options.prefix.clone());
        self
    }

    /// An existing key is an error, off by default.
    pub fn fail_if_key_exists(mut self, on: bool) -> Self {
        self.options.fail_if_key_exists = on;
        self
    }

    /// A computed key gives [`Acquired::Computed`] without taking the lock, off by default.
    pub fn cached_if_computed(mut self, on: bool) -> Self {
        self.options.cached_if_computed = on;
        self
    }

    /// How often to look for a free key, 10 times by default.
    pub fn max_spinlock_tries(mut self, tries: u32) -> Self {
        self.options.max_spinlock_tries = tries;
        self
    }

    /// The longest sleep between two looks, 500 ms by default.
    pub fn spinlock_sleep_thresh(mut self, sleep: Duration) -> Self {
        self.options.spinlock_sleep_thresh = sleep;
        self
    }

    /// How long to wait in all, in the place of tries × sleep.
    pub fn wait(mut self, wait: Wait) -> Self {
        self.options.wait = Some(wait);
        self
    }

    /// How long a key stays COMPUTED, 1 h by default.
    #[doc(alias = "expire_at_timedelta")]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.options.ttl = ttl;
        self
    }

    /// The longest time that a holder may keep others out, 30 min by default.
    pub fn max_block_time(mut self, longest: Duration) -> Self {
        self.options.max_block_time = longest;
        self
    }

    /// How long the lock outlives a holder that stopped renewing it, 15 s by default (`max_block_time` where that is
    /// shorter); at least 100 ms.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.options.lease = Some(lease);
        self
    }

    /// How many replicas must have heard of the lock before it is held, and of a delete before it is done; none by
    /// default. Where there are fewer within a third of the lease, or a second, the lock is given up:
    /// [`StoreFailure::TooFewReplicas`](crate::error::StoreFailure::TooFewReplicas).
    pub fn replicas(mut self, replicas: u32) -> Self {
        self.options.replicas = replicas;
        self
    }

    /// The pool to lock in; the process's by default.
    #[doc(alias = "sess")]
    pub fn pool(mut self, pool: &Pool) -> Self {
        self.pool = Some(pool.clone());
        self
    }

    /// The store's name for the state, in a pool without a secret.
    #[doc(alias = "get_key")]
    pub fn key(&self) -> String {
        self.key.state_name()
    }

    /// As [`DSpinlockBase::acquire`].
    pub fn acquire(&self) -> Op<Acquired> {
        acquire(Ok(self.key.clone()), self.options.clone(), self.pool.clone())
    }

    /// As [`DSpinlockBase::acquire_blocking`].
    ///
    /// # Errors
    ///
    /// As [`DSpinlockBase::acquire`].
    pub fn acquire_blocking(&self) -> Result<Acquired, Error> {
        blocking::wait(self.acquire())
    }

    /// As [`DSpinlockBase::delete_state`].
    #[doc(alias = "delete_atomic_query_mutex_state")]
    pub fn delete_state(&self) -> Op<bool> {
        let key = self.options.check_prefix().map(|()| self.key.clone());
        delete_state(key, self.options.replicas, self.pool.clone())
    }

    /// As [`DSpinlockBase::delete_state_blocking`].
    ///
    /// # Errors
    ///
    /// As [`DSpinlockBase::delete_state`].
    pub fn delete_state_blocking(&self) -> Result<bool, Error> {
        blocking::wait(self.delete_state())
    }
}

impl DSpinlockBase for HashDSpinlock {
    fn key(&self) -> String {
        self.key()
    }

    fn options(&self) -> Options {
        self.options.clone()
    }

    fn pool(&self) -> Option<Pool> {
        self.pool.clone()
    }
}

fn acquire(key: Result<Key, Error>, options: Options, pool: Option<Pool>) -> Op<Acquired> {
    Op::new(async move {
        let pool = pool.map_or_else(|| Pool::global().cloned(), Ok)?;
        let order = Box::new(engine::Order {
            key: key?,
            site: "explicit lock".into(),
            options,
            near_cache: None,
            shared: true,
            refuse: None,
        });
        Ok(engine::acquire(pool, order)
            .await?
            .map_or(Acquired::Computed, Acquired::Locked))
    })
}

fn delete_state(key: Result<Key, Error>, replicas: u32, pool: Option<Pool>) -> Op<bool> {
    Op::new(async move {
        let (key, pool) = (key?, pool.map_or_else(|| Pool::global().cloned(), Ok)?);
        let key = pool.named(key);
        let deleted = match replicas {
            0 => pool.here().ask(&key, Request::Delete).await,
            replicas => pool.ask_replicas(&key, Request::Delete, replicas).await,
        };
        let deleted = deleted? == Reply::Deleted(true);
        // Who held the key here has lost it.
        pool.flights().scatter(&key);
        Ok(deleted)
    })
}
