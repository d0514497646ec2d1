//! The claim of a call on its key, from the first ACQUIRE to the last reply. `engine` creates it, a lease contains it.
//!
//! A call can be dropped at any moment. The drop of its claim sends an ABORT, so no dropped call keeps its lock. If the process
//! ends, every armed claim is aborted.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, StoreFailure};
use crate::key::{Key, base64};
use crate::pool::Pool;
use crate::pool::flight::{Asked, Found, Leader};
use crate::protocol::Request;
use crate::protocol::tag::Tag;
use crate::rt::process::PerProcess;
use crate::rt::sync::{Mutex, MutexGuard, PoisonError};
use crate::rt::{background, thread_end};

/// The armed claims of this process, by tag.
static ARMED: PerProcess<Mutex<BTreeMap<Tag, Arc<Armed>>>> = PerProcess::new(|_| Mutex::default());

fn armed() -> MutexGuard<'static, BTreeMap<Tag, Arc<Armed>>> {
    ARMED.get().lock().unwrap_or_else(PoisonError::into_inner)
}

/// A key that the store may hold for a claim. The pool counts it, and waits for its drop when it is closed.
struct Armed {
    pool: Pool,
    key: Key,
}

impl Drop for Armed {
    fn drop(&mut self) {
        self.pool.closing().end_claim();
    }
}

/// Aborts every armed claim of this pool, or of all pools, because the pool or the process ends.
pub(super) fn give_up(of: Option<&Pool>) {
    for (tag, armed) in take_armed(of) {
        let queued = thread_end::queue_abort();
        background::spawn(async move {
            // Without a reply the lease expires.
            let _ = abort(&armed.pool, &armed.key, tag, &mut false).await;
            drop((armed, queued));
        });
    }
}

/// Removes the armed claims of this pool, or of all pools.
fn take_armed(of: Option<&Pool>) -> BTreeMap<Tag, Arc<Armed>> {
    let mut armed = armed();
    let all = mem::take(&mut *armed).into_iter();
    let (taken, others) = all.partition(|(_, armed)| of.is_none_or(|pool| armed.pool.is_same(pool)));
    *armed = others;
    taken
}

/// The tag of a call, under which the store may hold the key, and the call's leadership of its flight.
///
/// Dropping an armed claim sends an ABORT. Every step travels on the same connection, so the ABORT does not overtake its ACQUIRE,
/// and no later request of this thread overtakes the ABORT. The drop waits for nothing.
pub(crate) struct Claim {
    pub(super) pool: Pool,
    pub(super) key: Key,
    tag: Tag,
    leader: Option<Leader>,
    /// For the last request.
    asked: Option<Asked>,
    /// The length of the lease.
    lease: Duration,
    /// The store may hold the key for this tag.
    armed: bool,
    /// Until the lease has started: an ABORT of another thread may overtake an ACQUIRE, so the pool waits for that of the drop.
    acquiring: Option<Arc<Armed>>,
    /// A copy of an ACQUIRE was lost with its connection. It may still arrive.
    has_lost_copy: bool,
}

impl Claim {
    pub(crate) fn new(pool: &Pool, key: &Key, lease: Duration, leader: Option<Leader>) -> Self {
        Self {
            pool: pool.clone(),
            key: key.clone(),
            tag: random_tag(),
            leader,
            asked: None,
            lease,
            armed: false,
            acquiring: None,
            has_lost_copy: false,
        }
    }

    /// An ACQUIRE is about to be sent. Returns whether the store may hold the key already.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`].
    pub(crate) fn arm(&mut self) -> Result<bool, Error> {
        self.ask();
        if !self.armed {
            self.pool.closing().begin_claim()?;
            let (pool, key) = (self.pool.clone(), self.key.clone());
            let claimed = Arc::new(Armed { pool, key });
            armed().insert(self.tag, claimed.clone());
            self.acquiring = Some(claimed);
        }
        Ok(mem::replace(&mut self.armed, true))
    }

    pub(crate) fn tag(&self) -> Tag {
        self.tag
    }

    /// A request is about to be sent whose reply may [`complete`](Self::complete) the flight.
    pub(crate) fn ask(&mut self) {
        self.asked = self.leader.as_mut().map(Leader::ask);
    }

    /// Whether the turn of this process is over: then other processes may take the lock before it asks.
    pub(crate) fn take_yield(&mut self) -> bool {
        self.leader.as_mut().is_some_and(Leader::take_yield)
    }

    /// How long the call waits after a change before it looks.
    pub(crate) fn backoff(&self) -> Duration {
        self.leader.as_ref().map_or(Duration::ZERO, Leader::backoff)
    }

    /// Another process has the lock. `is_new`: another one than at the last look.
    pub(crate) fn saw_holder(&mut self, is_new: bool) {
        if let Some(leader) = &mut self.leader {
            leader.saw_holder(is_new);
        }
    }

    /// A RELEASE was sent: the ACQUIRE of the next follower travels behind it.
    pub(super) fn hand_on(&mut self) {
        self.leader = self.leader.take().and_then(Leader::hand_on);
    }

    /// The call waits on the background thread from now on.
    pub(crate) fn begin_watching(&mut self) {
        if let Some(leader) = &mut self.leader {
            leader.begin_watching();
        }
    }

    /// The call runs its body.
    pub(super) fn begin_computing(&mut self) {
        self.acquiring = None;
        if let Some(leader) = &mut self.leader {
            leader.begin_computing();
        }
    }

    /// Passes the value that the last request has found or published to the followers of this call.
    pub(crate) fn complete(&mut self, found: &Found) {
        if let Some((leader, asked)) = self.leader.take().zip(self.asked.take()) {
            leader.complete(asked, found);
        }
    }

    /// The leadership, for a call that goes on without the lock. An armed claim is aborted.
    pub(crate) fn into_leader(mut self) -> Option<Leader> {
        self.leader.take()
    }

    /// Set this if a copy of the ACQUIRE may arrive after its reply. It counts from then on, also if the call is dropped
    /// before the reply.
    pub(crate) fn lost_copy(&mut self) -> &mut bool {
        &mut self.has_lost_copy
    }

    /// Whether a copy of the ACQUIRE may arrive after its reply.
    pub(super) fn has_lost_copy(&self) -> bool {
        self.has_lost_copy
    }

    /// The store holds nothing for this tag.
    pub(crate) fn disarm(&mut self) {
        drop(self.take_armed());
    }

    /// What the pool waits for.
    fn take_armed(&mut self) -> impl Send + 'static {
        let armed = match mem::replace(&mut self.armed, false) {
            true => armed().remove(&self.tag),
            false => None,
        };
        (armed, self.acquiring.take())
    }

    /// Sends an ABORT and waits for the reply. The claim stays armed until then, so a drop sends it again.
    pub(crate) async fn abort(&mut self) {
        let aborted = abort(&self.pool, &self.key, self.tag, &mut self.has_lost_copy).await;
        if aborted.is_ok() {
            self.disarm();
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.pool.is_inherited() {
            // The lock, and the flight, are the parent's.
            mem::forget(self.leader.take());
        } else if self.armed || self.has_lost_copy {
            let has_lost_copy = self.has_lost_copy;
            // Before it is disarmed, so that the end of the process waits for it in any case.
            let queued = thread_end::queue_abort();
            let armed = self.take_armed();
            let (pool, key, lease) = (self.pool.clone(), self.key.clone(), self.lease);
            let tag = self.tag;
            background::start_here(async move {
                let mut was_resent = false;
                let first = abort(&pool, &key, tag, &mut was_resent).await;
                drop((armed, queued));
                if first.is_err() || has_lost_copy || was_resent {
                    repeat_abort(&pool, &key, tag, lease, first).await;
                }
            });
            // The request of the next leader is behind the ABORT.
            drop(self.leader.take());
        }
    }
}

/// 96 bits of the kernel's random source. The other bits of the UUID are fixed.
fn random_tag() -> Tag {
    let uuid = uuid::Uuid::new_v4();
    let bits = uuid.as_bytes();
    let mut text = [0; 16];
    base64::encode(&[&bits[..6], &bits[9..15]].concat(), &mut text);
    Tag::parse(&text).expect("base64url characters")
}

/// Sets `was_resent` if the connection of the first copy was lost.
pub(super) async fn abort(pool: &Pool, key: &Key, tag: Tag, was_resent: &mut bool) -> Result<(), Error> {
    let sent = pool.send_noting(key, Request::Abort { tag }, was_resent);
    sent.await.map(drop)
}

/// The pause before the second ABORT, and between two attempts on a store that is unavailable.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Sends the ABORT again after a second until the store replies, and once more after one lease: after a broken connection, an
/// ACQUIRE may arrive behind the ABORT.
async fn repeat_abort(pool: &Pool, key: &Key, tag: Tag, lease: Duration, mut last: Result<(), Error>) {
    let timers = pool.timers();
    let end = timers.now() + lease;
    loop {
        if let Err(error) = &last
            && (!is_transient(error) || timers.now() + RETRY_PAUSE >= end)
        {
            tracing::warn!(target: "dspinlock", "cannot abort the lock on {key}, which stays held until its lease expires: {error}");
            return;
        }
        timers.sleep(RETRY_PAUSE).await;
        last = abort(pool, key, tag, &mut false).await;
        if last.is_ok() {
            break;
        }
    }
    timers.sleep(end - timers.now()).await;
    let _ = abort(pool, key, tag, &mut false).await;
}

fn is_transient(error: &Error) -> bool {
    use StoreFailure::{Disconnected, Timeout, Unavailable};
    match error {
        Error::RedisNotInitialized { .. } | Error::EmbeddedNotInitialized { .. } => true,
        Error::Store { reason, .. } => matches!(reason, Disconnected | Timeout | Unavailable(_)),
        _ => false,
    }
}
