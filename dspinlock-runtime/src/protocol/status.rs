//! What a program learns of a key without a call: plain data of the public API.

use std::time::Duration;

use crate::error::Holder;

/// The state of a key, from [`Entry::status`](crate::Entry::status) or
/// [`HashDSpinlock::status`](crate::HashDSpinlock::status). It may have changed when the caller sees it.
///
/// ```
/// # use dspinlock_runtime as dspinlock;
/// use dspinlock::{HashDSpinlock, Pool, Status};
///
/// let pool = Pool::open("sqlite::memory:")?;
/// let lock = HashDSpinlock::new("report").pool(&pool);
/// assert_eq!(lock.status_blocking()?, Status::Free);
/// let held = lock.acquire_blocking()?;
/// match lock.status_blocking()? {
///     Status::Held { holder: Some(holder), .. } => println!("held by {holder}"),
///     other => panic!("{other:?}"),
/// }
/// # drop(held);
/// # Ok::<(), dspinlock::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// No call holds the key, and the store keeps nothing for it.
    Free,
    /// A call holds the lock.
    #[non_exhaustive]
    Held {
        /// The call. `None` if another program holds the key, for example a Python worker.
        holder: Option<Holder>,
        /// The time until the lease ends, unless it is renewed. `None` if the key has no expiry.
        lease_left: Option<Duration>,
    },
    /// The key is computed.
    #[non_exhaustive]
    Computed {
        /// The call that has computed the key. `None` if another program has.
        by: Option<Holder>,
        /// How long the function ran. `None` for a key that Python may know.
        took: Option<Duration>,
        /// The time since the key was computed.
        age: Option<Duration>,
        /// The time until the result expires. `None` if it has no expiry.
        remaining: Option<Duration>,
    },
    /// The entry is neither a lock nor a result: another program wrote it. Only `Pool::keys` and `Pool::key_info` (feature
    /// `inspect`) return this. The other methods return an error.
    Foreign,
}

/// A stored result, from [`Entry::peek`](crate::Entry::peek).
///
/// ```
/// # use dspinlock_runtime as dspinlock;
/// use dspinlock::{Entry, Pool};
///
/// let pool = Pool::open("sqlite::memory:")?;
/// let entry = Entry::of::<u64>("price").part(&7_u64).pool(&pool);
/// entry.prime_blocking(&21)?;
/// let stored = entry.peek_blocking()?.expect("a value is stored");
/// println!("{} is {:?} old and expires in {:?}", stored.value, stored.age, stored.remaining);
/// assert_eq!(stored.value, 21);
/// # Ok::<(), dspinlock::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stored<R> {
    /// What the function returned.
    pub value: R,
    /// The time since it was stored.
    pub age: Duration,
    /// The time until it expires.
    pub remaining: Duration,
}
