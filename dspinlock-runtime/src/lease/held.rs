//! A lease as the heartbeat, the body and the engine see it: deadlines, loss and renewal.
//!
//! Shared by [`Lease`](crate::lease::Lease), which ends it, and the heartbeat, which renews it. The lock is lost at most
//! once; a publish that is under way decides alone whether it was in time.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::claim::{Claim, abort};
use crate::error::KeyName;
use crate::key::Key;
use crate::pool::Pool;
use crate::protocol::value::Holder;
use crate::protocol::{Renew, Reply, Request};
use crate::rt::latch::Latch;
use crate::rt::process;
use crate::rt::sync::{AtomicBool, Instant, Mutex, MutexGuard, Ordering, PoisonError};

/// What the caller asked for.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    pub lease: Duration,
    pub ttl: Duration,
    pub max_block: Duration,
    /// The site's name.
    pub site: Cow<'static, str>,
}

/// An entry of the heartbeat's schedule.
pub(crate) type Place = (Instant, u64);

/// A granted lock.
pub(crate) struct Held {
    /// Sends on the background's connection, because the heartbeat must not depend on the caller's runtime.
    pub(super) pool: Pool,
    pub(crate) key: Key,
    pub(super) tag: String,
    pub(crate) fence: u64,
    pub(super) terms: Terms,
    pub(super) acquired: Instant,
    deadline: Mutex<Instant>,
    /// This lease in the heartbeat's schedule; `None` before its start and after its end.
    place: Mutex<Option<Place>>,
    /// A RENEW is under way.
    renewing: AtomicBool,
    /// A PUBLISH is under way. Its reply tells whether the lock was lost, so a RENEW that it overtakes does not.
    publishing: AtomicBool,
    lost: Latch,
}

impl Held {
    /// The store granted the lock to `claim` in reply to a request that was sent at `sent`.
    pub(super) fn new(claim: &Claim, fence: u64, sent: Instant, terms: Terms) -> Self {
        Self {
            pool: claim.pool.in_background(),
            key: claim.key.clone(),
            tag: claim.tag.clone(),
            fence,
            acquired: sent,
            deadline: Mutex::new(deadline(terms.lease, sent)),
            terms,
            place: Mutex::new(None),
            renewing: AtomicBool::new(false),
            publishing: AtomicBool::new(false),
            lost: Latch::new(),
        }
    }

    /// The key, for messages.
    pub(crate) fn name(&self) -> KeyName {
        KeyName::new(self.terms.site.clone(), self.key.to_string())
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.lost.is_set() || Instant::now() >= self.deadline()
    }

    pub(crate) async fn lost(&self) {
        self.lost.wait().await;
    }

    pub(crate) fn is_of(&self, pool: &Pool, key: &Key) -> bool {
        self.key == *key && self.pool.is(pool)
    }

    /// Records the loss and lets the followers of this lease continue without it.
    pub(super) fn lose(&self) {
        if !self.lost.is_set() {
            log::warn!(target: "dspinlock", "lost the lease on {}: the result of its holder will not be stored", self.name());
            self.lost.set();
            self.pool.flights().disband(&self.key);
        }
    }

    /// From now on only the reply to PUBLISH decides about a loss.
    pub(super) fn begin_publish(&self) {
        self.publishing.store(true, Ordering::SeqCst);
    }

    /// Aborts after a loss by the local clock: the store may have executed a RENEW whose reply was lost, and would keep
    /// other callers out for another lease.
    pub(super) async fn abort_lost(self: Arc<Self>) {
        // A publish that is under way may still be in time.
        if !self.publishing.load(Ordering::SeqCst) {
            // If the store is unavailable, the end of the call sends the ABORT again.
            let _ = abort(&self.pool, &self.key, &self.tag).await;
        }
    }

    pub(crate) fn deadline(&self) -> Instant {
        *lock(&self.deadline)
    }

    pub(crate) fn place(&self) -> MutexGuard<'_, Option<Place>> {
        lock(&self.place)
    }

    pub(super) fn first_renewal(&self) -> Instant {
        self.deadline().min(self.acquired + self.terms.lease / 3)
    }

    /// Whether the body has kept other callers out for `max_block_time`. The lease is not renewed any more.
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        now >= self.acquired + self.terms.max_block
    }

    /// Claims the right to send a RENEW; `false` if one is under way.
    pub(super) fn begin_renewal(&self) -> bool {
        !self.renewing.swap(true, Ordering::Relaxed)
    }

    pub(super) fn end_renewal(&self) {
        self.renewing.store(false, Ordering::Relaxed);
    }

    /// Sends one RENEW. Returns when to send the next one, or `None` after a loss.
    pub(super) async fn renew(&self) -> Option<Instant> {
        let sent = Instant::now();
        let request = Renew {
            tag: self.tag.clone(),
            fence: self.fence,
            lease: millis(self.terms.lease),
        };
        match self.pool.send(&self.key, Request::Renew(request)).await {
            Ok(Reply::Renewed) => {
                *lock(&self.deadline) = deadline(self.terms.lease, sent);
                Some(sent + self.terms.lease / 3)
            }
            // A release between request and reply is no loss: the caller knows that the lease has ended.
            Ok(_) => {
                if !self.publishing.load(Ordering::SeqCst) && self.place().is_some() {
                    self.lose();
                }
                None
            }
            Err(error) => {
                let error = error.at(&self.terms.site);
                log::warn!(target: "dspinlock", "cannot renew the lease, will retry: {error}");
                Some(Instant::now() + (self.terms.lease / 20).min(Duration::from_millis(500)))
            }
        }
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("key", &self.key)
            .field("fence", &self.fence)
            .finish_non_exhaustive()
    }
}

/// The moment until which a lease that the store granted or renewed after `sent` is certainly held: 2 % earlier, because
/// clocks run at different speeds, and 50 ms earlier, because threads wake late.
pub(crate) fn deadline(lease: Duration, sent: Instant) -> Instant {
    sent + (lease - lease / 50).saturating_sub(Duration::from_millis(50))
}

/// This process, as the holder of a key of `site`.
pub(crate) fn holder(site: &str) -> Holder {
    Holder::new(process::id(), process::host_name(), site)
}

/// Whole milliseconds, rounded up: no duration becomes shorter.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
