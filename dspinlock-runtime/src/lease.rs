//! A granted lock, which one caller holds until it publishes or aborts.
//!
//! `claim` aborts the lock of a dropped call, `held` is the state that threads share, `heartbeat` renews the lease, and
//! `current` makes it visible to the body. `engine` and `lock` use this module. It never acquires a lock.

pub(crate) mod claim;
pub(crate) mod current;
pub(crate) mod heartbeat;
pub(crate) mod held;

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;

use self::claim::Claim;
use self::held::{Held, Terms, millis};
use crate::error::Error;
use crate::pool::flight::Found;
use crate::protocol::tag::Id;
use crate::protocol::{Publish, Release, Reply, Request};
use crate::rt::blocking;
use crate::rt::op::Op;
use crate::rt::sync::Instant;

/// A lock that is held. [`release`](Self::release) marks the key as computed. Dropping the lease aborts the lock.
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
    pub(crate) fn start(mut claim: Claim, id: Id, sent: Instant, terms: Terms) -> Self {
        let held = Arc::new(Held::new(&claim, id, sent, terms));
        heartbeat::start(&held);
        claim.begin_computing();
        Self {
            held,
            claim: Box::new(claim),
        }
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
    /// `fail_if_key_exists` look at it. A lease that is dropped leaves no entry.
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
        Op::new(async move {
            let held = self.held.clone();
            match self.publish(None).await {
                Ok(PublishOutcome::Published) => Ok(()),
                Ok(PublishOutcome::AlreadyLost) => Err(Error::LeaseLost { key: held.name() }),
                Ok(PublishOutcome::Lost) => Err(Error::InvalidMutexReleaseEncountered { key: held.name() }),
                Err(error) => Err(error.at(held.site())),
            }
        })
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

    /// Publishes COMPUTED, with the value if there is one, or releases the lock. Unless it succeeds, the claim stays armed, and its drop aborts.
    pub(crate) async fn publish(mut self, payload: Option<Bytes>) -> Result<PublishOutcome, Error> {
        if self.is_lost() {
            return Ok(PublishOutcome::AlreadyLost);
        }
        self.claim.ask();
        let held = &self.held;
        held.begin_publish();
        let request = match &payload {
            None if !held.terms.keeps_mark => Request::Release(Release {
                id: held.id,
                was_sent: false,
            }),
            _ => {
                let mut publish = Publish {
                    id: held.id,
                    ttl: millis(held.terms.ttl),
                    took: millis(held.acquired.elapsed()),
                    payload: payload.clone(),
                    signature: None,
                    origin: held.terms.caller.origin(),
                };
                held.pool.sign(&held.key, &mut publish);
                Request::Publish(publish)
            }
        };
        let is_release = matches!(request, Request::Release(_));
        // The budget of a tokio task must not delay the request behind that of the next holder.
        let mut sent = pin!(tokio::task::unconstrained(held.pool.send(&held.key, request)));
        let first = poll_fn(|context| Poll::Ready(sent.as_mut().poll(context))).await;
        if is_release && first.is_pending() && held.pool.pushes(&held.key) {
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
                    let tag = Some(held.id.tag);
                    self.claim.complete(&Found { payload, tag });
                }
                Ok(PublishOutcome::Published)
            }
            _ => Ok(PublishOutcome::Lost),
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
