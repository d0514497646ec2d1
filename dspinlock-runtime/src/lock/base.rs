//! A lock with a custom key scheme, and the calls that every explicit lock makes. `hash` calls it. It never computes a key
//! from a value.

use std::time::Duration;

use crate::engine::{self, CallSpec, Outcome, entry};
use crate::error::Error;
use crate::key::Key;
use crate::lease::Lease;
use crate::lease::held::Caller;
use crate::options::{Options, Wait};
use crate::pool::Pool;
use crate::protocol::status::Status;
use crate::rt::blocking;
use crate::rt::op::Op;

/// The site of explicit locks, for messages and for the holder's record.
const SITE: &str = "explicit lock";

/// Outcome of [`acquire`](DSpinlockBase::acquire).
///
/// ```
/// # use dspinlock_runtime as dspinlock;
/// use dspinlock::{Acquired, HashDSpinlock, Pool};
///
/// let pool = Pool::open("sqlite::memory:")?;
/// let lock = HashDSpinlock::new("import").cached_if_computed(true).pool(&pool);
/// match lock.acquire_blocking()? {
///     Acquired::Locked(lease) => lease.release_blocking()?, // after the work
///     Acquired::Computed => println!("done before"),
/// }
/// assert!(matches!(lock.acquire_blocking()?, Acquired::Computed));
/// # Ok::<(), dspinlock::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "dropping a lease aborts the lock at once"]
pub enum Acquired {
    /// The lock is held. Call [`Lease::release`] after the work. It also marks the key as computed; a drop only frees the key.
    Locked(Lease),
    /// `cached_if_computed` is set and the key is computed. No lock was acquired.
    Computed,
}

/// A lock with a custom key scheme. Only [`key`](Self::key) is required.
///
/// ```
/// # use dspinlock_runtime as dspinlock;
/// use dspinlock::{DSpinlockBase, Pool};
///
/// struct Nightly(Pool);
///
/// impl DSpinlockBase for Nightly {
///     fn key(&self) -> String {
///         "reports,nightly".into()
///     }
///
///     fn pool(&self) -> Option<Pool> {
///         Some(self.0.clone())
///     }
/// }
///
/// let lock = Nightly(Pool::open("sqlite::memory:")?);
/// drop(lock.acquire_blocking()?); // aborts the lock
/// # Ok::<(), dspinlock::Error>(())
/// ```
pub trait DSpinlockBase {
    /// The state's name in the store: 1 to 512 bytes without braces and control characters. A pool with a secret uses a
    /// digest with the prefix `dspinlock` instead.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::DSpinlockBase;
    ///
    /// struct Import { tenant: u32 }
    ///
    /// impl DSpinlockBase for Import {
    ///     fn key(&self) -> String {
    ///         format!("import,{}", self.tenant)
    ///     }
    /// }
    /// # assert_eq!(Import { tenant: 7 }.key(), "import,7");
    /// ```
    #[doc(alias = "get_key")]
    fn key(&self) -> String;

    /// The options of the lock. Default: [`Options::new`]. `prefix` has no effect, because [`key`](Self::key) is the whole
    /// name.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use std::time::Duration;
    ///
    /// use dspinlock::{DSpinlockBase, Options};
    ///
    /// # struct Import;
    /// impl DSpinlockBase for Import {
    ///     fn options(&self) -> Options {
    ///         Options::new().ttl(Duration::from_secs(600))
    ///     }
    ///     // `key` as above
    /// #     fn key(&self) -> String { "import".into() }
    /// }
    /// # assert_eq!(Import.options().ttl, Duration::from_secs(600));
    /// ```
    fn options(&self) -> Options {
        Options::default()
    }

    /// The pool of the lock. Default: `None`, the global pool.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{DSpinlockBase, Pool};
    ///
    /// struct Import { pool: Pool }
    ///
    /// impl DSpinlockBase for Import {
    ///     fn pool(&self) -> Option<Pool> {
    ///         Some(self.pool.clone())
    ///     }
    ///     // `key` as above
    /// #     fn key(&self) -> String { "import".into() }
    /// }
    /// ```
    fn pool(&self) -> Option<Pool> {
        None
    }

    /// Acquires the lock. Waits while another caller holds it.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{Acquired, DSpinlockBase, Error};
    ///
    /// async fn run_once(lock: &dyn DSpinlockBase) -> Result<(), Error> {
    ///     if let Acquired::Locked(lease) = lock.acquire().await? {
    ///         // the work
    ///         lease.release().await?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// - [`Error::SpinlockTriesExceeded`] if another caller still holds the lock after the wait.
    /// - [`Error::FailIfKeyExistsIsEnabled`] at once, if that option is set and the key exists.
    /// - [`Error::Recursion`] inside a body that holds the key.
    /// - [`Error::InvalidOption`] if the key or an option cannot be used.
    /// - [`Error::AtomicQueryInvalidState`] or [`Error::InvalidValueEncounteredDuringUnpacking`] if another program wrote
    ///   the state.
    /// - [`Error::LeaseLost`] if the reply takes longer than the lease.
    /// - [`Error::Store`], [`Error::RedisNotInitialized`] or [`Error::EmbeddedNotInitialized`] if the store fails.
    /// - The errors of [`Pool::open`] if this call opens the global pool.
    ///
    /// # Cancellation safety
    ///
    /// Dropping the future aborts the lock, even while a request is under way.
    #[doc(alias = "__enter__")]
    fn acquire(&self) -> Op<Acquired> {
        acquire(custom_key(&self.key()), self.options(), self.pool())
    }

    /// [`acquire`](Self::acquire) for callers without an executor. This method blocks the thread.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{Acquired, DSpinlockBase, Error};
    ///
    /// fn run_once(lock: &dyn DSpinlockBase) -> Result<(), Error> {
    ///     if let Acquired::Locked(lease) = lock.acquire_blocking()? {
    ///         // the work
    ///         lease.release_blocking()?;
    ///     }
    ///     Ok(())
    /// }
    /// # let pool = dspinlock::Pool::open("sqlite::memory:")?;
    /// # run_once(&dspinlock::HashDSpinlock::new("report").pool(&pool))?;
    /// # Ok::<(), dspinlock::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// See [`acquire`](Self::acquire).
    fn acquire_blocking(&self) -> Result<Acquired, Error> {
        blocking::wait(self.acquire())
    }

    /// Acquires the lock if it is free, and never waits for a holder. Returns `None` if another caller holds the lock.
    ///
    /// The option `wait` has no effect. The call takes one round trip, and at most the pool's `request_timeout`.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{Acquired, DSpinlockBase, Error};
    ///
    /// async fn run_unless_busy(lock: &dyn DSpinlockBase) -> Result<(), Error> {
    ///     match lock.try_acquire().await? {
    ///         Some(Acquired::Locked(lease)) => lease.release().await?, // after the work
    ///         Some(Acquired::Computed) => println!("done before"),
    ///         None => println!("another worker does it"),
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// The errors of [`acquire`](Self::acquire), except for [`Error::SpinlockTriesExceeded`]. With `fail_if_key_exists`, an
    /// existing key is an error, also if another caller holds the lock.
    ///
    /// # Cancellation safety
    ///
    /// Dropping the future aborts the lock, even while a request is under way.
    #[doc(alias = "try_lock")]
    fn try_acquire(&self) -> Op<Option<Acquired>> {
        try_acquire(custom_key(&self.key()), self.options(), self.pool())
    }

    /// [`try_acquire`](Self::try_acquire) for callers without an executor. This method blocks the thread for one round trip.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{Acquired, DSpinlockBase, Error};
    ///
    /// fn run_unless_busy(lock: &dyn DSpinlockBase) -> Result<(), Error> {
    ///     if let Some(Acquired::Locked(lease)) = lock.try_acquire_blocking()? {
    ///         // the work
    ///         lease.release_blocking()?;
    ///     }
    ///     Ok(())
    /// }
    /// # let pool = dspinlock::Pool::open("sqlite::memory:")?;
    /// # run_unless_busy(&dspinlock::HashDSpinlock::new("report").pool(&pool))?;
    /// # Ok::<(), dspinlock::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// See [`try_acquire`](Self::try_acquire).
    fn try_acquire_blocking(&self) -> Result<Option<Acquired>, Error> {
        blocking::wait(self.try_acquire())
    }

    /// Invalidates the key: deletes its state. Returns whether the key had a state.
    ///
    /// A holder of the key loses the lock. It learns that from its next heartbeat, after at most a third of the lease. Until then
    /// its `is_lost` is false, while another caller may already hold the key.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{DSpinlockBase, Error};
    ///
    /// async fn invalidate(locks: &[Box<dyn DSpinlockBase>]) -> Result<(), Error> {
    ///     for lock in locks {
    ///         lock.delete_state().await?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// - [`Error::InvalidOption`] if the key cannot be used.
    /// - [`Error::Store`], [`Error::RedisNotInitialized`] or [`Error::EmbeddedNotInitialized`] if the store fails.
    /// - The errors of [`Pool::open`] if this call opens the global pool.
    ///
    /// # Cancellation safety
    ///
    /// If the future is dropped, the key may or may not be deleted.
    #[doc(alias = "delete_atomic_query_mutex_state")]
    fn delete_state(&self) -> Op<bool> {
        delete_state(custom_key(&self.key()), self.options().replicas, self.pool())
    }

    /// [`delete_state`](Self::delete_state) for callers without an executor. This method blocks the thread.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{DSpinlockBase, Error};
    ///
    /// fn invalidate(lock: &dyn DSpinlockBase) -> Result<(), Error> {
    ///     let existed = lock.delete_state_blocking()?;
    ///     println!("{}: {existed}", lock.key());
    ///     Ok(())
    /// }
    /// # let pool = dspinlock::Pool::open("sqlite::memory:")?;
    /// # invalidate(&dspinlock::HashDSpinlock::new("report").pool(&pool))?;
    /// # Ok::<(), dspinlock::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// See [`delete_state`](Self::delete_state).
    fn delete_state_blocking(&self) -> Result<bool, Error> {
        blocking::wait(self.delete_state())
    }
}

fn custom_key(text: &str) -> Result<Key, Error> {
    Key::custom(text).map_err(|error| Error::option(error.to_string()))
}

pub(super) fn acquire(key: Result<Key, Error>, options: Options, pool: Option<Pool>) -> Op<Acquired> {
    let pool = pool.or_else(Pool::chosen);
    Op::new(async move {
        // A key that cannot be used does not open the global pool.
        let spec = CallSpec::new(key?, Caller::new(SITE), options, pool);
        Ok(match engine::acquire(Box::new(spec)).await? {
            Outcome::Lead(lease) => Acquired::Locked(lease),
            Outcome::Hit(..) | Outcome::Followed(_) => Acquired::Computed,
            Outcome::Alone(_) => unreachable!("a lock is no function that could run without it"),
        })
    })
}

pub(super) fn try_acquire(
    key: Result<Key, Error>,
    options: Options,
    pool: Option<Pool>,
) -> Op<Option<Acquired>> {
    let acquired = acquire(key, options.wait(Wait::AtMost(Duration::ZERO)), pool);
    Op::new(async move {
        match acquired.await {
            Ok(acquired) => Ok(Some(acquired)),
            Err(Error::SpinlockTriesExceeded { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    })
}

pub(super) fn delete_state(key: Result<Key, Error>, replicas: u32, pool: Option<Pool>) -> Op<bool> {
    let pool = pool.or_else(Pool::chosen);
    Op::new(async move { entry::delete(key?, SITE, replicas, pool).await })
}

pub(super) fn status(key: Result<Key, Error>, pool: Option<Pool>) -> Op<Status> {
    let pool = pool.or_else(Pool::chosen);
    Op::new(async move { entry::status(key?, SITE, pool).await })
}
