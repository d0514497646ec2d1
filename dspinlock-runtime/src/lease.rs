//! A granted lock, which one caller holds until it publishes or aborts.
//!
//! `claim` aborts the lock of a dropped call, `held` is the state that threads share, `heartbeat` renews the lease, `current`
//! makes it visible to the body, and `close` ends those of a pool. `engine` and `lock` use this module. It never acquires a lock.

pub(crate) mod claim;
mod close;
pub(crate) mod current;
pub(crate) mod heartbeat;
pub(crate) mod held;

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;

use self::claim::Claim;
use self::held::{Held, Terms, millis};
use crate::error::Error;
use crate::pool::flight::Found;
use crate::protocol::header::Flag;
use crate::protocol::tag::Id;
use crate::protocol::{Publish, Release, Reply, Request};
use crate::rt::blocking;
use crate::rt::op::Op;
use crate::rt::sync::Instant;

/// A lock that is held.
///
/// [`release`](Self::release) marks the key as computed. [`give_up`](Self::give_up) frees the key and waits for the reply of
/// the store. Dropping the lease frees the key without waiting.
///
/// A heartbeat on the background thread renews the lease after every third of its length, even while the holder blocks its
/// thread. After `max_block_time` the lease is not renewed any more.
///
/// ```
/// # use dspinlock_runtime as dspinlock;
/// use dspinlock::{Acquired, HashDSpinlock, Pool};
///
/// let pool = Pool::open("sqlite::memory:")?;
/// if let Acquired::Locked(lease) = HashDSpinlock::new("report").pool(&pool).acquire_blocking()? {
///     assert!(!lease.is_lost());
///     println!("writing as holder {}", lease.fence());
///     lease.release_blocking()?;
/// }
/// # Ok::<(), dspinlock::Error>(())
/// ```
#[must_use = "dropping a lease aborts the lock at once"]
pub struct Lease {
    held: Arc<Held>,
    // Boxed, because the futures of callers contain a lease.
    claim: Box<Claim>,
}

impl Lease {
    /// Starts the lease of a lock that the store granted to `claim`, and its heartbeat. `sent` is when the request was sent.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`]: the lock is aborted.
    pub(crate) fn start(claim: Claim, id: Id, sent: Instant, terms: Terms) -> Result<Self, Error> {
        let mut lease = Self {
            held: Arc::new(Held::new(&claim, id, sent, terms)),
            claim: Box::new(claim),
        };
        heartbeat::start(&lease.held);
        // After the heartbeat has the lease: a pool that is closed later finds it there.
        lease.claim.pool.closing().check()?;
        lease.claim.begin_computing();
        Ok(lease)
    }

    /// The fencing token: a number that grows with every grant of this key, while the store's clock is not set back. A
    /// resource that stores the greatest fence it has seen can refuse a holder that was paused.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// # use dspinlock::{Acquired, HashDSpinlock, Pool};
    /// # let pool = Pool::open("sqlite::memory:")?;
    /// let lock = HashDSpinlock::new("report").pool(&pool);
    /// let mut fences = Vec::new();
    /// for _ in 0..2 {
    ///     if let Acquired::Locked(lease) = lock.acquire_blocking()? {
    ///         fences.push(lease.fence());
    ///         lease.release_blocking()?;
    ///     }
    /// }
    /// assert!(fences[0] < fences[1]);
    /// # Ok::<(), dspinlock::Error>(())
    /// ```
    pub fn fence(&self) -> u64 {
        self.held.id.fence
    }

    /// Whether the lease expired, or the key was deleted or taken over.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// # use dspinlock::{Acquired, HashDSpinlock, Pool};
    /// # let pool = Pool::open("sqlite::memory:")?;
    /// if let Acquired::Locked(lease) = HashDSpinlock::new("import").pool(&pool).acquire_blocking()? {
    ///     for batch in 0..100 {
    ///         if lease.is_lost() {
    ///             break; // another caller may run the import
    ///         }
    ///         println!("batch {batch}");
    ///     }
    /// }
    /// # Ok::<(), dspinlock::Error>(())
    /// ```
    pub fn is_lost(&self) -> bool {
        self.held.is_lost()
    }

    /// Resolves when the lease is lost. If the lease is not lost, it never resolves.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// # use dspinlock::{Acquired, HashDSpinlock, Pool};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), dspinlock::Error> {
    /// # let pool = Pool::open("sqlite::memory:")?;
    /// async fn import() { /* the work */ }
    ///
    /// if let Acquired::Locked(lease) = HashDSpinlock::new("import").pool(&pool).acquire().await? {
    ///     tokio::select! {
    ///         () = lease.lost() => println!("the import was stopped: its lease is lost"),
    ///         () = import() => lease.release().await?,
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancellation safety
    ///
    /// This method is cancel safe: a dropped future changes nothing.
    pub async fn lost(&self) {
        self.held.lost().await;
    }

    /// Marks the key as computed for its `ttl`, and releases the lock.
    ///
    /// The entry stays in the store for the `ttl`: about 265 bytes on a server. Only calls with `cached_if_computed` or
    /// `fail_if_key_exists` look at it. [`give_up`](Self::give_up) leaves no entry.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// # use dspinlock::{Acquired, HashDSpinlock, Pool};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), dspinlock::Error> {
    /// # let pool = Pool::open("sqlite::memory:")?;
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
    /// - [`Error::LeaseLost`] if the lease is already known to be lost; see [`is_lost`](Self::is_lost).
    /// - [`Error::InvalidMutexReleaseEncountered`] if the store reports that another caller, or no caller, holds the lock.
    /// - [`Error::Store`], [`Error::RedisNotInitialized`] or [`Error::EmbeddedNotInitialized`] if the store fails.
    ///
    /// # Cancellation safety
    ///
    /// Dropping the future aborts the lock, unless the store has already executed the release.
    pub fn release(self) -> Op<()> {
        self.unlock(Kept::ForTtl)
    }

    /// [`release`](Self::release) for callers without an executor. This method blocks the thread.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// # use dspinlock::{Acquired, HashDSpinlock, Pool};
    /// # let pool = Pool::open("sqlite::memory:")?;
    /// if let Acquired::Locked(lease) = HashDSpinlock::new("report").pool(&pool).acquire_blocking()? {
    ///     // the work
    ///     lease.release_blocking()?;
    /// }
    /// # Ok::<(), dspinlock::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// See [`release`](Self::release).
    pub fn release_blocking(self) -> Result<(), Error> {
        blocking::wait(self.release())
    }

    /// Releases the lock without marking the key as computed: no entry stays in the store.
    ///
    /// This is the unlock of a mutex, and of a job that has not done its work. Dropping the lease has the same effect, but
    /// does not wait for the reply of the store, and reports no error.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// # use dspinlock::{Acquired, HashDSpinlock, Pool};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), dspinlock::Error> {
    /// # let pool = Pool::open("sqlite::memory:")?;
    /// let lock = HashDSpinlock::new("import").cached_if_computed(true).pool(&pool);
    /// if let Acquired::Locked(lease) = lock.acquire().await? {
    ///     lease.give_up().await?; // there is nothing to import yet
    /// }
    /// assert!(matches!(lock.acquire().await?, Acquired::Locked(_)), "the import is still to be done");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The errors of [`release`](Self::release). After [`Error::LeaseLost`] and [`Error::InvalidMutexReleaseEncountered`]
    /// this lease holds nothing, but another caller may have held the lock before its work was done.
    ///
    /// # Cancellation safety
    ///
    /// Dropping the future aborts the lock, which frees the key too.
    pub fn give_up(self) -> Op<()> {
        self.unlock(Kept::Nothing)
    }

    /// [`give_up`](Self::give_up) for callers without an executor. This method blocks the thread.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// # use dspinlock::{Acquired, HashDSpinlock, Pool};
    /// # let pool = Pool::open("sqlite::memory:")?;
    /// let lock = HashDSpinlock::new("printer").pool(&pool);
    /// if let Acquired::Locked(lease) = lock.acquire_blocking()? {
    ///     // the work
    ///     lease.give_up_blocking()?;
    /// }
    /// assert!(!lock.delete_state_blocking()?, "the key has no entry");
    /// # Ok::<(), dspinlock::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// See [`give_up`](Self::give_up).
    pub fn give_up_blocking(self) -> Result<(), Error> {
        blocking::wait(self.give_up())
    }

    /// The time until the lease is lost if it is not renewed. Zero if it is lost.
    ///
    /// It ends 2 % of the lease and 50 ms before the lease expires in the store. Each renewal of the heartbeat makes it longer
    /// again.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// # use std::time::Duration;
    /// # use dspinlock::{Acquired, HashDSpinlock, Pool};
    /// # let pool = Pool::open("sqlite::memory:")?;
    /// let lock = HashDSpinlock::new("report").lease(Duration::from_secs(30)).pool(&pool);
    /// if let Acquired::Locked(lease) = lock.acquire_blocking()? {
    ///     // The time limit of a request that must end while the lock is certainly held.
    ///     let timeout = lease.remaining().min(Duration::from_secs(5));
    ///     assert_eq!(timeout, Duration::from_secs(5));
    /// }
    /// # Ok::<(), dspinlock::Error>(())
    /// ```
    pub fn remaining(&self) -> Duration {
        self.held.remaining()
    }

    /// Changes the length of the lease, and renews it now. The heartbeat continues with the new length.
    ///
    /// `lease` has the limits of the option: at least 100 ms, and at most `max_block_time`. A longer lease outlives a longer
    /// pause of this process, for example a backup of its machine. With a shorter one, other callers wait less for a holder
    /// that was killed. The lease still ends after `max_block_time`, which counts from the acquire.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// # use std::time::Duration;
    /// # use dspinlock::{Acquired, HashDSpinlock, Pool};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), dspinlock::Error> {
    /// # let pool = Pool::open("sqlite::memory:")?;
    /// if let Acquired::Locked(lease) = HashDSpinlock::new("backup").pool(&pool).acquire().await? {
    ///     lease.extend(Duration::from_secs(120)).await?;
    ///     assert!(lease.remaining() > Duration::from_secs(110));
    ///     // the work that may pause this process
    ///     lease.release().await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// - [`Error::InvalidOption`] if `lease` is outside of its limits, or if the lock has been held for `max_block_time`. The
    ///   lease is unchanged.
    /// - [`Error::LeaseLost`] if the lease is lost.
    /// - [`Error::Store`], [`Error::RedisNotInitialized`] or [`Error::EmbeddedNotInitialized`] if the store fails. The
    ///   heartbeat retries, with the new length.
    ///
    /// # Cancellation safety
    ///
    /// After its first poll, a dropped future does not stop the change.
    pub fn extend(&self, lease: Duration) -> Op<()> {
        let held = self.held.clone();
        Op::new(async move {
            let at = |error: Error| error.at(held.site());
            let lost = || Error::LeaseLost { key: held.name() };
            if held.is_lost() {
                return Err(lost());
            }
            held.check_length(lease).map_err(at)?;
            // The deadline may pass before the reply.
            match heartbeat::extend(&held, lease).await.map_err(at)? && !held.is_lost() {
                true => Ok(()),
                false => Err(lost()),
            }
        })
    }

    /// [`extend`](Self::extend) for callers without an executor. This method blocks the thread.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// # use std::time::Duration;
    /// # use dspinlock::{Acquired, HashDSpinlock, Pool};
    /// # let pool = Pool::open("sqlite::memory:")?;
    /// if let Acquired::Locked(lease) = HashDSpinlock::new("backup").pool(&pool).acquire_blocking()? {
    ///     lease.extend_blocking(Duration::from_secs(120))?;
    ///     // the work that may pause this process
    ///     lease.release_blocking()?;
    /// }
    /// # Ok::<(), dspinlock::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// See [`extend`](Self::extend).
    pub fn extend_blocking(&self, lease: Duration) -> Result<(), Error> {
        blocking::wait(self.extend(lease))
    }

    /// Ends the lease. The key stays COMPUTED if `keeps_mark`, and is free otherwise.
    fn unlock(self, kept: Kept) -> Op<()> {
        Op::new(async move {
            let held = self.held.clone();
            let publication = Publication {
                kept,
                ..Publication::of(None)
            };
            match self.publish(publication).await {
                Ok(PublishOutcome::Published) => Ok(()),
                Ok(PublishOutcome::AlreadyLost) => Err(Error::LeaseLost { key: held.name() }),
                Ok(PublishOutcome::Lost) => Err(Error::InvalidMutexReleaseEncountered { key: held.name() }),
                Err(error) => Err(error.at(held.site())),
            }
        })
    }

    /// Aborts the lock and waits until the store has replied.
    pub(crate) async fn abort(mut self) {
        if self.held.is_inherited() {
            return;
        }
        heartbeat::stop(&self.held);
        self.claim.abort().await;
    }

    pub(crate) fn held(&self) -> &Arc<Held> {
        &self.held
    }

    /// Publishes a result, or releases the lock. Unless it succeeds, the claim stays armed, and its drop aborts.
    pub(crate) async fn publish(mut self, publication: Publication) -> Result<PublishOutcome, Error> {
        if self.is_lost() {
            self.held.count_loss();
            return Ok(PublishOutcome::AlreadyLost);
        }
        self.claim.ask();
        let held = &self.held;
        held.begin_publish();
        let Publication { payload, flag, kept } = publication;
        let ttl = match kept {
            Kept::ForTtl if payload.is_some() || held.terms.keeps_mark => Some(held.terms.ttl),
            Kept::For(ttl) if payload.is_some() || held.terms.keeps_mark => Some(ttl),
            Kept::ForTtl | Kept::For(_) | Kept::Nothing => None,
        };
        let request = match ttl {
            None => Request::Release(Release {
                id: held.id,
                was_sent: false,
            }),
            Some(ttl) => {
                let mut publish = Publish {
                    id: held.id,
                    ttl: millis(ttl),
                    took: millis(held.now() - held.acquired),
                    payload: payload.clone(),
                    flag,
                    signature: None,
                    origin: held.terms.caller.origin(),
                };
                held.pool.sign(&held.key, &mut publish);
                Request::Publish(publish)
            }
        };
        // The budget of a tokio task must not delay the request behind that of the next holder.
        let mut sent = pin!(tokio::task::unconstrained(held.pool.send(&held.key, request)));
        let first = poll_fn(|context| Poll::Ready(sent.as_mut().poll(context))).await;
        // The terms of a shared key keep a mark. A waiter that polls such a key would never find it free.
        let may_hand_on = ttl.is_none() && payload.is_none() && !held.terms.keeps_mark;
        if may_hand_on && first.is_pending() && held.pool.pushes(&held.key) {
            // If the RELEASE is not executed, the next holder waits as any other caller.
            self.claim.hand_on();
        }
        let reply = match first {
            Poll::Ready(reply) => reply,
            Poll::Pending => sent.await,
        };
        match reply? {
            Reply::Published | Reply::Released | Reply::Done => {
                self.claim.disarm();
                if let Some(payload) = payload {
                    self.claim.complete(&Found {
                        payload,
                        id: Some(held.id),
                        flag,
                        age: Some(Duration::ZERO),
                    });
                }
                Ok(PublishOutcome::Published)
            }
            _ => {
                held.count_loss();
                Ok(PublishOutcome::Lost)
            }
        }
    }
}

/// A result, and what the store keeps of it.
#[derive(Debug)]
pub(crate) struct Publication {
    /// The encoded result. The followers of the call receive it. `None` if nobody does.
    pub payload: Option<Bytes>,
    pub flag: Flag,
    pub kept: Kept,
}

/// How long the store keeps a result.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kept {
    /// For the `ttl` of the call. Without a payload this is a mark, if the terms keep one.
    ForTtl,
    /// So long.
    For(Duration),
    /// Not at all: the key is free.
    Nothing,
}

impl Publication {
    /// A value that is kept for the `ttl` of the call, or a mark.
    pub(crate) fn of(payload: Option<Bytes>) -> Self {
        Self {
            payload,
            flag: Flag::Value,
            kept: Kept::ForTtl,
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.held.is_inherited() {
            heartbeat::stop(&self.held);
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.held.fmt(f)
    }
}

/// Outcome of [`Lease::publish`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PublishOutcome {
    /// The key is COMPUTED.
    Published,
    /// The lease was lost before the call. No request was sent.
    AlreadyLost,
    /// The store replied that the caller does not hold the lock.
    Lost,
}
