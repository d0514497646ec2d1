//! The shared state of a lease: its deadline, its loss and its renewals.
//!
//! [`Lease`](crate::lease::Lease), the heartbeat and `current` share it. A lease is lost at most once. While a PUBLISH is
//! under way, only its reply decides whether the lease is lost.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::claim::{Claim, abort};
use crate::error::{Error, KeyName};
use crate::key::Key;
use crate::options::check_lease;
use crate::pool::Pool;
use crate::protocol::header::{Check, Origin};
use crate::protocol::tag::Id;
use crate::protocol::{Renew, Reply, Request};
use crate::rt::in_flight::InFlight;
use crate::rt::latch::Latch;
use crate::rt::sync::{
    AtomicBool, Instant, Mutex, MutexGuard, Ordering, PoisonError, Semaphore, SemaphorePermit,
};
use crate::rt::{metrics, process};

/// The options of the call that its lease needs.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    /// The length of the lease, until it is extended.
    pub lease: Duration,
    pub ttl: Duration,
    pub max_block: Duration,
    /// Whether the key stays COMPUTED after a release without a value. Otherwise it is free.
    pub keeps_mark: bool,
    pub caller: Caller,
}

/// The caller, as messages and entries name it.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// The site's name.
    pub site: Cow<'static, str>,
    /// What the call is about, if the site has a `label`.
    pub label: Option<Box<str>>,
    /// What the site validates beside its key.
    pub check: Option<Check>,
}

impl Caller {
    /// The caller of a site without `label` and `validate`.
    pub(crate) fn new(site: impl Into<Cow<'static, str>>) -> Self {
        Self {
            site: site.into(),
            label: None,
            check: None,
        }
    }

    /// The key, for messages.
    pub(crate) fn name(&self, key: &Key) -> KeyName {
        KeyName::new(self.site.clone(), key.to_string())
    }

    /// This caller in this process, for the entry of a key.
    pub(crate) fn origin(&self) -> Origin {
        let mut origin = Origin::new(process::id(), process::host_name(), &self.site);
        origin.check = self.check;
        match &self.label {
            Some(label) => origin.with_label(label),
            None => origin,
        }
    }
}

/// A granted lock.
pub(crate) struct Held {
    pub(super) pool: Pool,
    pub(crate) key: Key,
    pub(crate) id: Id,
    pub(super) terms: Terms,
    pub(super) acquired: Instant,
    timing: Mutex<Timing>,
    /// One permit: one RENEW is under way at a time. So the store executes renewals of different lengths in order.
    renewal: Semaphore,
    /// A copy of the ACQUIRE or of a RENEW was lost with its connection. It may still arrive.
    has_lost_copy: AtomicBool,
    /// A PUBLISH was sent.
    publishing: AtomicBool,
    lost: Latch,
}

struct Timing {
    /// The length that the next RENEW sets in the store.
    length: Duration,
    /// The length that counts here. It is shorter than `length` if a lost copy may still set a shorter one.
    trusted: Duration,
    /// Until when the lock is certainly held.
    deadline: Instant,
}

impl Held {
    /// The state of a lock that the store granted to `claim`. `sent` is when the request was sent.
    pub(super) fn new(claim: &Claim, id: Id, sent: Instant, terms: Terms) -> Self {
        Self {
            pool: claim.pool.clone(),
            key: claim.key.clone(),
            id,
            acquired: sent,
            timing: Mutex::new(Timing {
                length: terms.lease,
                trusted: terms.lease,
                deadline: deadline(terms.lease, sent),
            }),
            terms,
            renewal: Semaphore::new(1),
            has_lost_copy: AtomicBool::new(claim.has_lost_copy()),
            publishing: AtomicBool::new(false),
            lost: Latch::new(),
        }
    }

    /// The key, for messages.
    pub(crate) fn name(&self) -> KeyName {
        self.terms.caller.name(&self.key)
    }

    pub(crate) fn max_value_size(&self) -> usize {
        self.pool.max_value_size()
    }

    pub(super) fn site(&self) -> &str {
        &self.terms.caller.site
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.is_inherited() || self.lost.is_set() || self.now() >= self.deadline()
    }

    pub(crate) async fn lost(&self) {
        if self.is_inherited() {
            return;
        }
        // A future that waits during a fork is lost in the child, too.
        let waiting = InFlight::new(Box::pin(async {
            self.lost.wait().await;
            Ok(())
        }));
        let _ = waiting.await;
    }

    /// The current moment of the clock of the pool.
    pub(super) fn now(&self) -> Instant {
        self.pool.timers().now()
    }

    /// Whether the parent of this process holds the lock.
    pub(super) fn is_inherited(&self) -> bool {
        self.pool.is_inherited()
    }

    pub(super) fn is_of(&self, pool: &Pool) -> bool {
        self.pool.is_same(pool)
    }

    pub(crate) fn is_for(&self, pool: &Pool, key: &Key) -> bool {
        self.key == *key && self.pool.is_same(pool)
    }

    /// Counts a loss that the publish has found before the heartbeat.
    pub(super) fn count_loss(&self) {
        if !self.lost.is_set() {
            metrics::lost_lease(self.site());
        }
    }

    /// Records the loss, and disbands the flight, so that its followers continue without this call.
    pub(super) fn lose(&self) {
        if !self.lost.is_set() {
            self.lost.set();
            self.pool.flights().disband(&self.key);
            // After that, because a recorder may panic.
            metrics::lost_lease(self.site());
            tracing::warn!(
                target: "dspinlock",
                "lost the lease on {}: it was not renewed in time, or the key was deleted or taken over; its result will not be stored",
                self.name()
            );
        }
    }

    /// After this call only the reply to the PUBLISH decides whether the lease is lost.
    pub(super) fn begin_publish(&self) {
        self.publishing.store(true, Ordering::SeqCst);
    }

    /// Aborts the lock after its deadline. If the store executed a RENEW whose reply was lost, other callers would wait for
    /// another lease.
    pub(super) async fn abort_lost(self: Arc<Self>) {
        // A PUBLISH that is under way may still succeed.
        if !self.is_publishing() {
            // On an error, the drop of the claim sends the ABORT again.
            let _ = abort(&self.pool, &self.key, self.id.tag, &mut false).await;
        }
    }

    /// The lease is lost, because the pool or the process ends. Its claim is aborted.
    pub(super) fn give_up(&self) {
        self.lost.set();
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.timing().deadline
    }

    /// The time until the deadline, or zero if the lease is lost.
    pub(super) fn remaining(&self) -> Duration {
        match self.is_lost() {
            true => Duration::ZERO,
            false => self.deadline().saturating_duration_since(self.now()),
        }
    }

    pub(super) fn first_renewal(&self) -> Instant {
        self.deadline().min(self.acquired + self.terms.lease / 3)
    }

    /// Whether the lock has been held for `max_block_time`. If so, the lease is not renewed any more.
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        now >= self.acquired + self.terms.max_block
    }

    /// # Errors
    ///
    /// [`Error::InvalidOption`] if the lease cannot have this length.
    pub(super) fn check_length(&self, lease: Duration) -> Result<(), Error> {
        check_lease(lease, self.terms.max_block)?;
        if self.is_overdue(self.now()) {
            return Err(Error::option(format!(
                "the lease cannot be extended: the lock has been held for `max_block_time` ({:?}); raise it",
                self.terms.max_block
            )));
        }
        Ok(())
    }

    /// The right to send a RENEW; `None` if one is under way.
    pub(super) fn try_begin_renewal(&self) -> Option<Renewal<'_>> {
        self.renewal.try_acquire().ok().map(Renewal)
    }

    /// The right to send a RENEW, after the one that is under way.
    pub(super) async fn begin_renewal(&self) -> Renewal<'_> {
        Renewal(self.renewal.acquire().await.expect("the semaphore is not closed"))
    }

    /// Changes the length of the lease. The next RENEW sets it in the store, at any time from now on.
    pub(super) fn set_length(&self, _: &Renewal<'_>, length: Duration) {
        let mut timing = self.timing();
        timing.trusted = match self.has_lost_copy.load(Ordering::SeqCst) {
            true => timing.trusted.min(length),
            false => length,
        };
        timing.length = length;
        timing.deadline = timing.deadline.min(deadline(length, self.now()));
    }

    /// Whether a PUBLISH was sent. It may overtake a RENEW, so a refusal of the RENEW then means nothing.
    pub(super) fn is_publishing(&self) -> bool {
        self.publishing.load(Ordering::SeqCst)
    }

    /// Sends one RENEW. Returns when to send the next one, or `None` if the store refuses it.
    pub(super) async fn renew(&self, _: &Renewal<'_>) -> Result<Option<Instant>, Error> {
        let sent = self.now();
        let request = Renew {
            id: self.id,
            lease: millis(self.timing().length),
        };
        let mut is_lost = false;
        let sending = self
            .pool
            .send_noting(&self.key, Request::Renew(request), &mut is_lost);
        let reply = sending.await;
        self.has_lost_copy.fetch_or(is_lost, Ordering::SeqCst);
        Ok(match reply? {
            Reply::Renewed => {
                let mut timing = self.timing();
                timing.deadline = deadline(timing.trusted, sent);
                Some(sent + timing.trusted / 3)
            }
            _ => None,
        })
    }

    /// When to send another RENEW after one that failed.
    pub(super) fn next_retry(&self) -> Instant {
        self.now() + (self.timing().trusted / 20).min(Duration::from_millis(500))
    }

    fn timing(&self) -> MutexGuard<'_, Timing> {
        self.timing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn log_failed_renewal(&self, error: &Error) {
        tracing::warn!(
            target: "dspinlock",
            "cannot renew the lease on {}, retrying until it expires: {error}",
            self.name()
        );
    }
}

/// The right to send a RENEW, until it is dropped.
pub(super) struct Renewal<'a>(#[expect(dead_code, reason = "its drop is its purpose")] SemaphorePermit<'a>);

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("key", &self.key)
            .field("fence", &self.id.fence)
            .finish_non_exhaustive()
    }
}

/// Until when a lease is certainly held, if the store granted or renewed it after `sent`. The lease is shortened by 2 %,
/// because clocks run at different speeds, and by 50 ms, because threads wake late.
pub(crate) fn deadline(lease: Duration, sent: Instant) -> Instant {
    sent + (lease - lease / 50).saturating_sub(Duration::from_millis(50))
}

/// Whole milliseconds, rounded up: no duration becomes shorter.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
