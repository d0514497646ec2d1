//! A lock on a value, whose hash is the key. Users call it.

use std::borrow::Cow;
use std::time::Duration;

use serde::Serialize;

use super::base::{Acquired, DSpinlockBase, acquire, delete_state, status, try_acquire};
use crate::error::Error;
use crate::key::{Format, Key, KeyHasher, KeyPart};
use crate::options::{Options, Wait};
use crate::pool::Pool;
use crate::protocol::status::Status;
use crate::rt::blocking;
use crate::rt::op::Op;

/// A lock on a value: the key is the hash of the value.
///
/// A single text or byte string has the same hash as in py-dspinlock. So `HashDSpinlock::new("example")` and Python's
/// `HashDSpinlock("example")` are the same lock.
///
/// ```
/// # use dspinlock_runtime as dspinlock;
/// use std::time::Duration;
///
/// use dspinlock::{Acquired, HashDSpinlock, Pool, Wait};
///
/// let pool = Pool::open("sqlite::memory:")?;
/// let lock = HashDSpinlock::new(("invoice", 42))
///     .wait(Wait::AtMost(Duration::from_secs(30)))
///     .pool(&pool);
/// if let Acquired::Locked(lease) = lock.acquire_blocking()? {
///     // the work
///     lease.release_blocking()?;
/// }
/// # Ok::<(), dspinlock::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a lock does nothing until it is acquired"]
pub struct HashDSpinlock {
    /// `None` if the value could not be serialized.
    key: Option<Key>,
    options: Options,
    pool: Option<Pool>,
}

impl HashDSpinlock {
    /// Creates the lock on `object`, which may be a reference. If `object` cannot be serialized,
    /// [`acquire`](Self::acquire) fails.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::HashDSpinlock;
    ///
    /// let invoice = ("invoice", 42);
    /// let by_reference = HashDSpinlock::new(&invoice);
    /// let by_value = HashDSpinlock::new(invoice);
    /// assert_eq!(by_reference.key()?, by_value.key()?);
    /// # Ok::<(), dspinlock::Error>(())
    /// ```
    pub fn new(object: impl Serialize) -> Self {
        let mut hasher = KeyHasher::new(true);
        object.feed(&mut hasher);
        let options = Options::default();
        Self {
            key: hasher
                .digest(None, |_| Some(()))
                .map(|digest| Key::new(Format::Shared, options.prefix.clone(), digest.0)),
            options,
            pool: None,
        }
    }

    /// The first part of the key: 1 to 64 bytes without braces, commas or control characters. Default: `dspinlock`.
    ///
    /// ```
    /// # use dspinlock_runtime::HashDSpinlock;
    /// let lock = HashDSpinlock::new("report").prefix("billing");
    /// assert!(lock.key()?.starts_with("billing,"));
    /// # Ok::<(), dspinlock_runtime::Error>(())
    /// ```
    #[doc(alias = "_key_prefix")]
    pub fn prefix(mut self, prefix: impl Into<Cow<'static, str>>) -> Self {
        self.options.prefix = prefix.into();
        self.key = self.key.map(|key| key.with_prefix(self.options.prefix.clone()));
        self
    }

    /// Whether an existing key is an error. Default: `false`.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{Error, HashDSpinlock, Pool};
    ///
    /// let pool = Pool::open("sqlite::memory:")?;
    /// let lock = HashDSpinlock::new("import").fail_if_key_exists(true).pool(&pool);
    /// let held = lock.acquire_blocking()?;
    /// let second = lock.acquire_blocking();
    /// assert!(matches!(second, Err(Error::FailIfKeyExistsIsEnabled { .. })));
    /// # Ok::<(), dspinlock::Error>(())
    /// ```
    pub fn fail_if_key_exists(mut self, on: bool) -> Self {
        self.options.fail_if_key_exists = on;
        self
    }

    /// Whether `acquire` returns [`Acquired::Computed`] for a computed key instead of taking the lock. Default: `false`.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{Acquired, HashDSpinlock, Pool};
    ///
    /// let pool = Pool::open("sqlite::memory:")?;
    /// let lock = HashDSpinlock::new("import").cached_if_computed(true).pool(&pool);
    /// if let Acquired::Locked(lease) = lock.acquire_blocking()? {
    ///     lease.release_blocking()?; // after the import
    /// }
    /// assert!(matches!(lock.acquire_blocking()?, Acquired::Computed));
    /// # Ok::<(), dspinlock::Error>(())
    /// ```
    pub fn cached_if_computed(mut self, on: bool) -> Self {
        self.options.cached_if_computed = on;
        self
    }

    /// The time to wait, in multiples of `spinlock_sleep_thresh`, if `wait` is not set. Default: 10.
    ///
    /// ```
    /// # use dspinlock_runtime::HashDSpinlock;
    /// // Waits for at most 20 × 500 ms = 10 s.
    /// let lock = HashDSpinlock::new("report").max_spinlock_tries(20);
    /// ```
    pub fn max_spinlock_tries(mut self, tries: u32) -> Self {
        self.options.max_spinlock_tries = tries;
        self
    }

    /// The longest sleep between two tries to acquire the lock. Default: 500 ms.
    ///
    /// ```
    /// # use dspinlock_runtime::HashDSpinlock;
    /// # use std::time::Duration;
    /// // Waits for at most 10 × 100 ms = 1 s.
    /// let lock = HashDSpinlock::new("report").spinlock_sleep_thresh(Duration::from_millis(100));
    /// ```
    pub fn spinlock_sleep_thresh(mut self, sleep: Duration) -> Self {
        self.options.spinlock_sleep_thresh = sleep;
        self
    }

    /// The total time to wait. Default: `max_spinlock_tries` × `spinlock_sleep_thresh`, which is 5 s.
    ///
    /// ```
    /// # use dspinlock_runtime::{HashDSpinlock, Wait};
    /// # use std::time::Duration;
    /// let lock = HashDSpinlock::new("report").wait(Wait::AtMost(Duration::from_secs(30)));
    /// ```
    pub fn wait(mut self, wait: Wait) -> Self {
        self.options.wait = Some(wait);
        self
    }

    /// How long a key stays computed after [`Lease::release`](crate::Lease::release). Default: 1 h.
    ///
    /// ```
    /// # use dspinlock_runtime::HashDSpinlock;
    /// # use std::time::Duration;
    /// let lock = HashDSpinlock::new("report").ttl(Duration::from_secs(600));
    /// ```
    #[doc(alias = "expire_at_timedelta")]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.options.ttl = ttl;
        self
    }

    /// How long one holder may block other callers. Default: 30 min.
    ///
    /// After this time the heartbeat stops, and the lock expires within one lease.
    ///
    /// ```
    /// # use dspinlock_runtime::HashDSpinlock;
    /// # use std::time::Duration;
    /// let lock = HashDSpinlock::new("report").max_block_time(Duration::from_secs(300));
    /// ```
    pub fn max_block_time(mut self, limit: Duration) -> Self {
        self.options.max_block_time = limit;
        self
    }

    /// How long the lock outlives a holder that stopped renewing it, at least 100 ms. Default: 15 s, or `max_block_time` if
    /// that is shorter.
    ///
    /// ```
    /// # use dspinlock_runtime::HashDSpinlock;
    /// # use std::time::Duration;
    /// let lock = HashDSpinlock::new("report").lease(Duration::from_secs(5));
    /// ```
    pub fn lease(mut self, lease: Duration) -> Self {
        self.options.lease = Some(lease);
        self
    }

    /// How many Redis replicas must acknowledge a lock before it is held, and a delete before it succeeds. Default: 0.
    ///
    /// The time limit is 1 s, and for a lock at most a third of the lease. If fewer replicas acknowledge in time, the call
    /// fails with [`StoreFailure::TooFewReplicas`](crate::StoreFailure::TooFewReplicas). A lock is then aborted.
    ///
    /// ```
    /// # use dspinlock_runtime::HashDSpinlock;
    /// let lock = HashDSpinlock::new("report").replicas(1);
    /// ```
    pub fn replicas(mut self, replicas: u32) -> Self {
        self.options.replicas = replicas;
        self
    }

    /// The pool of the lock. Default: the global pool.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{HashDSpinlock, Pool};
    ///
    /// let pool = Pool::open("sqlite::memory:")?;
    /// let lock = HashDSpinlock::new("report").pool(&pool);
    /// # Ok::<(), dspinlock::Error>(())
    /// ```
    #[doc(alias = "sess")]
    pub fn pool(mut self, pool: &Pool) -> Self {
        self.pool = Some(pool.clone());
        self
    }

    /// The state's name in the store of a pool without a secret.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::HashDSpinlock;
    ///
    /// let key = HashDSpinlock::new("report").key()?;
    /// assert!(key.starts_with("dspinlock,"));
    /// # Ok::<(), dspinlock::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::ProvidedObjectIsNotHashable`] if the object's `Serialize` implementation returned an error.
    #[doc(alias = "get_key")]
    pub fn key(&self) -> Result<String, Error> {
        Ok(self.checked_key()?.name())
    }

    /// Acquires the lock. Waits while another caller holds it.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{Acquired, HashDSpinlock, Pool};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), dspinlock::Error> {
    /// let pool = Pool::open("sqlite::memory:")?;
    /// if let Acquired::Locked(lease) = HashDSpinlock::new("report").pool(&pool).acquire().await? {
    ///     // the work
    ///     lease.release().await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::ProvidedObjectIsNotHashable`] if the object's `Serialize` implementation returned an error, and the errors
    /// of [`DSpinlockBase::acquire`].
    ///
    /// # Cancellation safety
    ///
    /// See [`DSpinlockBase::acquire`].
    pub fn acquire(&self) -> Op<Acquired> {
        acquire(self.checked_key(), self.options.clone(), self.pool.clone())
    }

    /// [`acquire`](Self::acquire) for callers without an executor. This method blocks the thread.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{Acquired, HashDSpinlock, Pool};
    ///
    /// let pool = Pool::open("sqlite::memory:")?;
    /// if let Acquired::Locked(lease) = HashDSpinlock::new("report").pool(&pool).acquire_blocking()? {
    ///     // the work
    ///     lease.release_blocking()?;
    /// }
    /// # Ok::<(), dspinlock::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// See [`acquire`](Self::acquire).
    pub fn acquire_blocking(&self) -> Result<Acquired, Error> {
        blocking::wait(self.acquire())
    }

    /// Acquires the lock if it is free, and never waits for a holder. Returns `None` if another caller holds the lock.
    ///
    /// The option [`wait`](Self::wait) has no effect. The call takes one round trip, and at most the pool's
    /// [`request_timeout`](crate::PoolBuilder::request_timeout).
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{Acquired, HashDSpinlock, Pool};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), dspinlock::Error> {
    /// let pool = Pool::open("sqlite::memory:")?;
    /// let lock = HashDSpinlock::new("report").pool(&pool);
    /// let held = lock.try_acquire().await?;
    /// assert!(matches!(held, Some(Acquired::Locked(_))));
    /// assert!(lock.try_acquire().await?.is_none());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::ProvidedObjectIsNotHashable`] if the object's `Serialize` implementation returned an error, and the errors
    /// of [`DSpinlockBase::try_acquire`].
    ///
    /// # Cancellation safety
    ///
    /// See [`DSpinlockBase::try_acquire`].
    #[doc(alias = "try_lock")]
    pub fn try_acquire(&self) -> Op<Option<Acquired>> {
        try_acquire(self.checked_key(), self.options.clone(), self.pool.clone())
    }

    /// [`try_acquire`](Self::try_acquire) for callers without an executor. This method blocks the thread for one round trip.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{Acquired, HashDSpinlock, Pool};
    ///
    /// let pool = Pool::open("sqlite::memory:")?;
    /// let lock = HashDSpinlock::new("report").pool(&pool);
    /// match lock.try_acquire_blocking()? {
    ///     Some(Acquired::Locked(lease)) => lease.release_blocking()?, // after the work
    ///     Some(Acquired::Computed) => println!("done before"),
    ///     None => println!("another worker does it"),
    /// }
    /// # Ok::<(), dspinlock::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// See [`try_acquire`](Self::try_acquire).
    pub fn try_acquire_blocking(&self) -> Result<Option<Acquired>, Error> {
        blocking::wait(self.try_acquire())
    }

    /// Invalidates the key: deletes its state. Returns whether the key had a state.
    ///
    /// A holder of the key loses the lock. It learns that from its next heartbeat, after at most a third of the lease. Until then
    /// its `is_lost` is false, while another caller may already hold the key.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{HashDSpinlock, Pool};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), dspinlock::Error> {
    /// let pool = Pool::open("sqlite::memory:")?;
    /// let existed = HashDSpinlock::new("report").pool(&pool).delete_state().await?;
    /// assert!(!existed);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::ProvidedObjectIsNotHashable`] if the object's `Serialize` implementation returned an error, and the errors
    /// of [`DSpinlockBase::delete_state`].
    ///
    /// # Cancellation safety
    ///
    /// See [`DSpinlockBase::delete_state`].
    #[doc(alias = "delete_atomic_query_mutex_state")]
    pub fn delete_state(&self) -> Op<bool> {
        let key = self.options.check_prefix().and_then(|()| self.checked_key());
        delete_state(key, self.options.replicas, self.pool.clone())
    }

    /// [`delete_state`](Self::delete_state) for callers without an executor. This method blocks the thread.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{Acquired, HashDSpinlock, Pool};
    ///
    /// let pool = Pool::open("sqlite::memory:")?;
    /// let lock = HashDSpinlock::new("report").pool(&pool);
    /// if let Acquired::Locked(lease) = lock.acquire_blocking()? {
    ///     lease.release_blocking()?;
    /// }
    /// assert!(lock.delete_state_blocking()?);
    /// # Ok::<(), dspinlock::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// See [`delete_state`](Self::delete_state).
    pub fn delete_state_blocking(&self) -> Result<bool, Error> {
        blocking::wait(self.delete_state())
    }

    /// Returns the state of the key: free, held or computed. This method never waits for the lock.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{HashDSpinlock, Pool, Status};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), dspinlock::Error> {
    /// let pool = Pool::open("sqlite::memory:")?;
    /// let lock = HashDSpinlock::new("report").pool(&pool);
    /// assert_eq!(lock.status().await?, Status::Free);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// - [`Error::ProvidedObjectIsNotHashable`] if the object's `Serialize` implementation returned an error.
    /// - [`Error::AtomicQueryInvalidState`] or [`Error::InvalidValueEncounteredDuringUnpacking`] if another program wrote
    ///   the state.
    /// - [`Error::Store`], [`Error::RedisNotInitialized`] or [`Error::EmbeddedNotInitialized`] if the store fails.
    ///
    /// # Cancellation safety
    ///
    /// This method is cancel safe: a dropped future changes nothing.
    pub fn status(&self) -> Op<Status> {
        let key = self.options.check_prefix().and_then(|()| self.checked_key());
        status(key, self.pool.clone())
    }

    /// [`status`](Self::status) for callers without an executor. This method blocks the thread.
    ///
    /// # Errors
    ///
    /// See [`status`](Self::status).
    pub fn status_blocking(&self) -> Result<Status, Error> {
        blocking::wait(self.status())
    }

    /// Whether a call holds the lock. [`status`](Self::status) says which one.
    ///
    /// # Errors
    ///
    /// See [`status`](Self::status).
    ///
    /// # Cancellation safety
    ///
    /// This method is cancel safe: a dropped future changes nothing.
    pub fn is_held(&self) -> Op<bool> {
        let status = self.status();
        Op::new(async move { Ok(matches!(status.await?, Status::Held { .. })) })
    }

    /// [`is_held`](Self::is_held) for callers without an executor. This method blocks the thread.
    ///
    /// # Errors
    ///
    /// See [`status`](Self::status).
    pub fn is_held_blocking(&self) -> Result<bool, Error> {
        blocking::wait(self.is_held())
    }

    /// The key, before a pool renames it.
    pub(crate) fn checked_key(&self) -> Result<Key, Error> {
        self.key
            .clone()
            .ok_or_else(|| Error::ProvidedObjectIsNotHashable {
                site: "explicit lock".into(),
            })
    }
}

/// For code that is generic over locks. If the object cannot be serialized, `key` is empty, and `acquire`,
/// `try_acquire` and `delete_state` fail.
impl DSpinlockBase for HashDSpinlock {
    fn key(&self) -> String {
        self.key().unwrap_or_default()
    }

    fn options(&self) -> Options {
        self.options.clone()
    }

    fn pool(&self) -> Option<Pool> {
        self.pool.clone()
    }

    fn acquire(&self) -> Op<Acquired> {
        self.acquire()
    }

    fn try_acquire(&self) -> Op<Option<Acquired>> {
        self.try_acquire()
    }

    fn delete_state(&self) -> Op<bool> {
        self.delete_state()
    }
}
