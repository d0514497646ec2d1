//! The claim of a call on its key, from the first ACQUIRE to the last reply. `engine` creates it, a lease contains it.
//!
//! A call can be dropped at any moment. The drop of its claim sends an ABORT, so no dropped call keeps its lock.

use std::mem;
use std::time::Duration;

use crate::error::{Error, StoreFailure};
use crate::key::Key;
use crate::pool::Pool;
use crate::pool::flight::Leader;
use crate::protocol::Request;
use crate::rt::background;
use crate::rt::sync::Instant;
use crate::rt::thread_end;

/// The tag of a call, under which the store may hold the key, and the call's leadership of its flight.
///
/// Dropping an armed claim sends an ABORT. Every step travels on the same connection, so the ABORT does not overtake its ACQUIRE,
/// and no later request of this thread overtakes the ABORT. The drop waits for nothing.
pub(crate) struct Claim {
    pub(crate) pool: Pool,
    pub(crate) key: Key,
    pub(crate) tag: String,
    pub(crate) leader: Option<Leader>,
    /// The length of the lease.
    lease: Duration,
    /// The store may hold the key for this tag.
    armed: bool,
}

impl Claim {
    pub(crate) fn new(pool: &Pool, key: &Key, lease: Duration, leader: Option<Leader>) -> Self {
        let tag = uuid::Uuid::new_v4().to_string();
        Self {
            pool: pool.clone(),
            key: key.clone(),
            tag,
            leader,
            lease,
            armed: false,
        }
    }

    /// An ACQUIRE is about to be sent. Returns whether the store may hold the key already.
    pub(crate) fn arm(&mut self) -> bool {
        if let Some(leader) = &mut self.leader {
            leader.begin_request();
        }
        mem::replace(&mut self.armed, true)
    }

    /// The store holds nothing for this tag.
    pub(crate) fn disarm(&mut self) {
        self.armed = false;
    }

    /// Sends an ABORT and waits for the reply. The claim stays armed until then, so a drop sends it again.
    pub(crate) async fn abort(&mut self) {
        if abort(&self.pool, &self.key, &self.tag).await.is_ok() {
            self.disarm();
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.pool.is_inherited() {
            // The lock, and the flight, are the parent's.
            mem::forget(self.leader.take());
        } else if self.armed {
            let queued = thread_end::queue_abort();
            let (pool, key, lease) = (self.pool.clone(), self.key.clone(), self.lease);
            let tag = mem::take(&mut self.tag);
            background::start_here(async move {
                let first = abort(&pool, &key, &tag).await;
                drop(queued);
                if let Err(error) = first {
                    retry_abort(&pool, &key, &tag, lease, error).await;
                }
            });
            // The request of the next leader is behind the ABORT.
            drop(self.leader.take());
        }
    }
}

pub(super) async fn abort(pool: &Pool, key: &Key, tag: &str) -> Result<(), Error> {
    let tag = tag.to_owned();
    pool.send(key, Request::Abort { tag }).await.map(drop)
}

/// The pause between two attempts to abort on a store that is unavailable.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Retries the ABORT until the store replies. After a broken connection the ACQUIRE may still arrive behind the ABORT, so the
/// last ABORT is sent after one lease.
async fn retry_abort(pool: &Pool, key: &Key, tag: &str, lease: Duration, mut error: Error) {
    let end = Instant::now() + lease;
    while is_transient(&error) && Instant::now() + RETRY_PAUSE < end {
        background::sleep(RETRY_PAUSE).await;
        match abort(pool, key, tag).await {
            Ok(()) => {
                background::sleep(end.saturating_duration_since(Instant::now())).await;
                let _ = abort(pool, key, tag).await;
                return;
            }
            Err(again) => error = again,
        }
    }
    log::warn!(target: "dspinlock", "cannot abort the lock on {key}, which stays held until its lease expires: {error}");
}

fn is_transient(error: &Error) -> bool {
    use StoreFailure::{Disconnected, Timeout, Unavailable};
    match error {
        Error::RedisNotInitialized { .. } | Error::EmbeddedNotInitialized { .. } => true,
        Error::Store { reason, .. } => matches!(reason, Disconnected | Timeout | Unavailable(_)),
        _ => false,
    }
}
