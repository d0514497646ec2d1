//! The right to compute and to publish, held by one caller.

pub(crate) mod claim;
pub(crate) mod current;
pub(crate) mod heartbeat;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::error::Error;
use crate::key::Key;
use crate::lease::claim::{Claim, abort};
use crate::lock::Op;
use crate::pool::Pool;
use crate::pool::flight::Found;
use crate::protocol::value::Holder;
use crate::protocol::{Publish, Renew, Reply, Request};
use crate::rt::sync::{AtomicBool, Instant, Mutex, MutexGuard, Ordering, PoisonError, Semaphore};
use crate::rt::{blocking, holder};

/// A lock that is held. Releasing it leaves the key COMPUTED; dropping it gives the key up.
///
/// A heartbeat on a thread of the library's own renews the lease every third of its length, also while the holder
/// blocks its thread, and stops at `max_block_time`.
#[must_use = "a lease that is dropped gives the lock up at once"]
pub struct Lease {
    held: Arc<Held>,
    // Boxed, as a lease lives in the futures of its callers.
    claim: Box<Claim>,
}

impl Lease {
    /// The lock is ours since the request that was sent at `sent`; the heartbeat starts.
    pub(crate) fn start(mut claim: Claim, fence: u64, sent: Instant, terms: Terms) -> Self {
        let held = Arc::new(Held {
            // The heartbeat must not depend on the caller's runtime.
            pool: claim.pool.in_background(),
            key: claim.key.clone(),
            tag: claim.tag.clone(),
            fence,
            acquired: sent,
            deadline: Mutex::new(deadline(terms.lease, sent)),
            terms,
            place: Mutex::new(None),
            beating: AtomicBool::new(false),
            ending: AtomicBool::new(false),
            lost: Semaphore::new(0),
        });
        heartbeat::start(&held);
        if let Some(seat) = &mut claim.seat {
            seat.lead();
        }
        Self {
            held,
            claim: Box::new(claim),
        }
    }

    /// A number that grows with every grant of this key: what a resource checks to refuse a holder that was paused.
    pub fn fence(&self) -> u64 {
        self.held.fence
    }

    /// Whether the lease lapsed or the key was taken. What is computed from now on is not kept.
    pub fn is_lost(&self) -> bool {
        self.held.is_lost()
    }

    /// Resolves when the lease is lost.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again at will.
    pub async fn lost(&self) {
        self.held.lost().await;
    }

    /// Leaves the key COMPUTED for its `ttl` and ends the lease.
    ///
    /// # Errors
    ///
    /// [`Error::LeaseLost`] where the lease had lapsed before, [`Error::InvalidMutexReleaseEncountered`] where another
    /// holds or has deleted the key, [`Error::Store`] or [`Error::RedisNotInitialized`] where the store cannot be asked.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the key up, unless the release was done already.
    pub fn release(self) -> Op<()> {
        Op::new(async move {
            let key = self.held.key.clone();
            match self.publish(None).await? {
                Published::Kept => Ok(()),
                Published::TooLate => Err(Error::LeaseLost { key }),
                Published::Lost => Err(Error::InvalidMutexReleaseEncountered { key }),
            }
        })
    }

    /// [`release`](Self::release) for callers without an executor; blocks the thread.
    ///
    /// # Errors
    ///
    /// As [`release`](Self::release).
    pub fn release_blocking(self) -> Result<(), Error> {
        blocking::wait(self.release())
    }

    /// Gives the key up and waits until the store has heard of it.
    pub(crate) async fn give_up(mut self) {
        heartbeat::stop(&self.held);
        self.claim.give_up().await;
    }

    pub(crate) fn held(&self) -> &Arc<Held> {
        &self.held
    }

    /// Publishes the value, or COMPUTED alone. After a loss the key is given up: nothing of this call's stays behind.
    pub(crate) async fn publish(mut self, payload: Option<Bytes>) -> Result<Published, Error> {
        if self.is_lost() {
            return Ok(Published::TooLate);
        }
        if let Some(seat) = &mut self.claim.seat {
            seat.ask();
        }
        let held = &self.held;
        held.ending.store(true, Ordering::SeqCst);
        let request = Request::Publish(Publish {
            tag: held.tag.clone(),
            fence: held.fence,
            ttl: millis(held.terms.ttl),
            elapsed: micros(held.acquired.elapsed()),
            payload: payload
                .as_ref()
                .map(|payload| held.pool.seal(&held.key, &held.tag, held.fence, payload)),
            holder: holder(&held.terms.site),
        });
        match self.claim.pool.ask(&held.key, request).await? {
            Reply::Published | Reply::Done => {
                self.claim.disarm();
                if let Some((seat, payload)) = self.claim.seat.take().zip(payload) {
                    seat.land(&Found {
                        payload,
                        tag: held.tag.clone().into(),
                    });
                }
                Ok(Published::Kept)
            }
            _ => Ok(Published::Lost),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        heartbeat::stop(&self.held);
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.held.fmt(f)
    }
}

/// How a publish ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Published {
    /// The key is COMPUTED.
    Kept,
    /// The lease lapsed by our own clock; the store was not asked.
    TooLate,
    /// The key is another's, or gone.
    Lost,
}

/// What a caller asked of a lease.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    pub lease: Duration,
    pub ttl: Duration,
    pub max_block: Duration,
    /// The site's name.
    pub site: Cow<'static, str>,
}

/// Until when a lease that the store granted or renewed after `sent` is surely held: less 2 % for clocks that run at
/// different speeds and 50 ms for threads that come late.
pub(crate) fn deadline(lease: Duration, sent: Instant) -> Instant {
    sent + (lease - lease / 50).saturating_sub(Duration::from_millis(50))
}

/// A lease as the heartbeat and the body see it.
pub(crate) struct Held {
    pool: Pool,
    pub(crate) key: Key,
    tag: String,
    pub(crate) fence: u64,
    terms: Terms,
    acquired: Instant,
    deadline: Mutex<Instant>,
    place: Mutex<Option<heartbeat::Place>>,
    beating: AtomicBool,
    /// PUBLISH is under way: its answer tells of a loss, and a beat that it overtakes does not.
    ending: AtomicBool,
    /// Closed at the loss: latched, and everybody who waits is told.
    lost: Semaphore,
}

impl Held {
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.is_closed() || Instant::now() >= self.deadline()
    }

    pub(crate) async fn lost(&self) {
        let _ = self.lost.acquire().await;
    }

    pub(crate) fn is_of(&self, pool: &Pool, key: &Key) -> bool {
        self.key == *key && self.pool.is(pool)
    }

    pub(crate) fn lose(&self) {
        if !self.lost.is_closed() {
            log::warn!(target: "dspinlock", "the lease on {} was lost", self.key);
            self.lost.close();
            self.pool.flights().scatter(&self.key);
        }
    }

    /// After a loss by our own clock the store may have heard of a beat whose answer did not come: it would keep others
    /// out for another lease.
    pub(crate) async fn give_up(self: Arc<Self>) {
        // A publish that is under way may still be in time.
        if !self.ending.load(Ordering::SeqCst) {
            // Where the store is away, the end of the call asks again.
            let _ = abort(&self.pool, &self.key, &self.tag).await;
        }
    }

    pub(crate) fn deadline(&self) -> Instant {
        *lock(&self.deadline)
    }

    pub(crate) fn place(&self) -> MutexGuard<'_, Option<heartbeat::Place>> {
        lock(&self.place)
    }

    pub(crate) fn next_beat(&self) -> Instant {
        self.deadline().min(self.acquired + self.terms.lease / 3)
    }

    /// Whether the body has kept others out for `max_block_time`: from then on it is not renewed.
    pub(crate) fn is_overdue(&self, now: Instant) -> bool {
        now >= self.acquired + self.terms.max_block
    }

    pub(crate) fn begin_beat(&self) -> bool {
        !self.beating.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn end_beat(&self) {
        self.beating.store(false, Ordering::Relaxed);
    }

    /// Renews once. Returns when to beat next, `None` after the loss.
    pub(crate) async fn beat(&self) -> Option<Instant> {
        let sent = Instant::now();
        let request = Renew {
            tag: self.tag.clone(),
            fence: self.fence,
            lease: millis(self.terms.lease),
        };
        match self.pool.ask(&self.key, Request::Renew(request)).await {
            Ok(Reply::Renewed) => {
                *lock(&self.deadline) = deadline(self.terms.lease, sent);
                Some(sent + self.terms.lease / 3)
            }
            // An end that came in between is no loss: the caller knows that it has ended.
            Ok(_) => {
                if !self.ending.load(Ordering::SeqCst) && self.place().is_some() {
                    self.lose();
                }
                None
            }
            Err(error) => {
                log::warn!(target: "dspinlock", "the heartbeat will be tried again: {error}");
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

/// Whole milliseconds, rounded up: nothing is shorter than asked for.
/// This process, as the holder of a key of `site`.
pub(crate) fn holder(site: &str) -> Holder {
    Holder::new(holder::process_id(), holder::host_name(), site)
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
