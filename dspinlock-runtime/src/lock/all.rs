//! Several locks at once, in one order of keys. Users call it. It knows nothing about a key but its name.

use super::base::{Acquired, DSpinlockBase};
use crate::error::Error;
use crate::lease::Lease;
use crate::options::Options;
use crate::rt::blocking;
use crate::rt::op::Op;

/// One lock of a call of [`acquire_all`].
struct Part {
    key: String,
    /// The position among the arguments.
    at: usize,
    options: Options,
    acquire: Op<Acquired>,
}

/// Acquires several locks, and returns their leases in the order of the arguments.
///
/// The locks are acquired one after the other, in the order of their keys, which is the same in every program. So two calls
/// of `acquire_all` never wait for each other. If a lock cannot be acquired, the others are aborted.
///
/// Each lock waits for its own `wait`, and its `max_block_time` counts from its own acquire.
///
/// ```
/// # use dspinlock_runtime as dspinlock;
/// use dspinlock::{Error, HashDSpinlock, Pool};
///
/// async fn transfer(pool: &Pool, from: u64, to: u64) -> Result<(), Error> {
///     let [from, to] = [from, to].map(|account| HashDSpinlock::new(("account", account)).pool(pool));
///     let leases = dspinlock::acquire_all([&from, &to]).await?;
///     // the work
///     for lease in leases {
///         lease.give_up().await?;
///     }
///     Ok(())
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Error> {
/// # transfer(&Pool::open("sqlite::memory:")?, 1, 2).await
/// # }
/// ```
///
/// Locks of different types are `&dyn DSpinlockBase`:
///
/// ```
/// # use dspinlock_runtime as dspinlock;
/// use dspinlock::{DSpinlockBase, Error, HashDSpinlock, Lease};
///
/// async fn with_report(import: &impl DSpinlockBase) -> Result<Vec<Lease>, Error> {
///     let locks: [&dyn DSpinlockBase; 2] = [import, &HashDSpinlock::new("report")];
///     dspinlock::acquire_all(locks).await
/// }
/// ```
///
/// # Errors
///
/// - [`Error::InvalidOption`] if two locks have the same key, also if they are in different pools, or if a lock has
///   `cached_if_computed`. No lock is then acquired.
/// - The errors of [`DSpinlockBase::acquire`], for any of the locks.
/// - [`Error::LeaseLost`] if a lease was lost while the call waited for another lock.
///
/// # Cancellation safety
///
/// Dropping the future aborts all locks, even while a request is under way.
#[doc(alias = "multi_lock")]
pub fn acquire_all<'a, L>(locks: impl IntoIterator<Item = &'a L>) -> Op<Vec<Lease>>
where
    L: DSpinlockBase + ?Sized + 'a,
{
    let parts = locks.into_iter().enumerate().map(|(at, lock)| Part {
        key: lock.key(),
        at,
        options: lock.options(),
        acquire: lock.acquire(),
    });
    let mut parts: Vec<_> = parts.collect();
    parts.sort_by(|one, other| one.key.cmp(&other.key));
    Op::new(async move {
        check(&parts)?;
        let mut leases = Vec::with_capacity(parts.len());
        for part in parts {
            match part.acquire.await? {
                Acquired::Locked(lease) => leases.push((part.at, lease)),
                Acquired::Computed => return Err(computed()),
            }
        }
        if let Some((_, lost)) = leases.iter().find(|(_, lease)| lease.is_lost()) {
            return Err(Error::LeaseLost {
                key: lost.held().name(),
            });
        }
        leases.sort_by_key(|(at, _)| *at);
        Ok(leases.into_iter().map(|(_, lease)| lease).collect())
    })
}

/// [`acquire_all`] for callers without an executor. This function blocks the thread.
///
/// ```
/// # use dspinlock_runtime as dspinlock;
/// use dspinlock::{HashDSpinlock, Pool};
///
/// let pool = Pool::open("sqlite::memory:")?;
/// let locks = ["wheat", "rye"].map(|field| HashDSpinlock::new(field).pool(&pool));
/// let leases = dspinlock::acquire_all_blocking(&locks)?;
/// assert_eq!(leases.len(), 2);
/// // the work
/// drop(leases); // aborts both locks
/// # Ok::<(), dspinlock::Error>(())
/// ```
///
/// # Errors
///
/// See [`acquire_all`].
pub fn acquire_all_blocking<'a, L>(locks: impl IntoIterator<Item = &'a L>) -> Result<Vec<Lease>, Error>
where
    L: DSpinlockBase + ?Sized + 'a,
{
    blocking::wait(acquire_all(locks))
}

fn check(parts: &[Part]) -> Result<(), Error> {
    if parts.iter().any(|part| part.options.cached_if_computed) {
        return Err(computed());
    }
    // A lock on a value that cannot be serialized has no key. Its acquire reports that.
    let equal = |pair: &&[Part]| pair[0].key == pair[1].key && !pair[0].key.is_empty();
    match parts.windows(2).find(equal) {
        Some([one, other]) => Err(Error::option(format!(
            "the locks {} and {} of `acquire_all` have the same key, so one would wait for the other; pass each key once",
            one.at + 1,
            other.at + 1
        ))),
        _ => Ok(()),
    }
}

fn computed() -> Error {
    Error::option(
        "`acquire_all` cannot acquire a lock with `cached_if_computed`, because a computed key has no lease; turn it off",
    )
}
