//! The second part of a call: ask for the lock, and wait on the background thread while another caller holds it.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::attempt::{Attempt, Granted, unexpected_reply};
use super::wait::Next;
use crate::error::Error;
use crate::lease::Lease;
use crate::lease::claim::Claim;
use crate::lease::held::{Terms, deadline, holder, millis};
use crate::pool::Pool;
use crate::pool::flight::Found;
use crate::protocol::state::BadState;
use crate::protocol::{Acquire, Renew, Reply, Request};
use crate::rt::background;
use crate::store::Change;

/// The pause before a waiter takes a key that a Python worker has released. py-dspinlock reads the key once more after its
/// own write, and raises an error if another caller holds it by then.
const PYTHON_PAUSE: Duration = Duration::from_millis(20);

impl Attempt {
    /// Asks for the lock by the caller's route. Waiting happens on the background thread, because the caller's runtime may
    /// be busy or shut down.
    pub(super) async fn acquire(mut self, mut claim: Claim) -> Result<Granted, Error> {
        let mut look = Look::default();
        let pool = self.pool.clone();
        loop {
            match self.look(&pool, &mut claim, &mut look).await? {
                Looked::Ended(ended) => return Ok(self.end(claim, ended)),
                Looked::Again => {}
                Looked::Held(_) => return background::run(self.wait(claim, look)).await,
            }
        }
    }

    /// Looks at every change of the record, and when the holder's time is over. The request of each look also subscribes to
    /// the next change, so no change is missed.
    async fn wait(mut self, mut claim: Claim, mut look: Look) -> Result<Granted, Error> {
        let pool = self.pool.in_background();
        if let Some(leader) = &mut claim.leader {
            leader.watches();
        }
        look.subscribes = true;
        loop {
            match self.look(&pool, &mut claim, &mut look).await? {
                Looked::Ended(ended) => return Ok(self.end(claim, ended)),
                Looked::Again => {}
                Looked::Held(rest) => {
                    sleep(rest, look.change.take()).await;
                    if look.is_foreign {
                        background::sleep(PYTHON_PAUSE).await;
                    }
                    if let Some(found) = self.read_value(&pool, &mut claim).await {
                        return Ok(self.end(claim, Ended::Found(found)));
                    }
                }
            }
        }
    }

    /// A plain read without a script: the change that woke a waiter most likely published the value.
    async fn read_value(&mut self, pool: &Pool, claim: &mut Claim) -> Option<Found> {
        if !self.want_value || self.spec.shared || self.spec.refuse.is_some() {
            return None;
        }
        if let Some(leader) = &mut claim.leader {
            leader.sends();
        }
        // An error is dropped: the look that follows meets it again and handles it.
        let (hit, _) = self.read(pool).await.ok()??;
        self.verified(hit)
    }

    /// Sends one ACQUIRE and decides what follows.
    async fn look(&mut self, pool: &Pool, claim: &mut Claim, look: &mut Look) -> Result<Looked, Error> {
        let sent = Instant::now();
        let next = match self.ask(pool, claim, look).await {
            // The reply took so long that a renewal is due. Asking again gives a full lease. Only once, because the link may
            // be that slow.
            Ok(Reply::Acquired(_)) if !look.was_late && sent.elapsed() > self.lease / 3 => {
                look.was_late = true;
                return Ok(Looked::Again);
            }
            Ok(Reply::Acquired(_)) if Instant::now() >= deadline(self.lease, sent) => {
                return Err(Error::LeaseLost { key: self.name() });
            }
            Ok(Reply::Acquired(fence)) => {
                let sent = self.replicate(claim, fence).await?.unwrap_or(sent);
                return Ok(Looked::Ended(Ended::Granted(fence, sent)));
            }
            Ok(Reply::Hit(hit, _)) => {
                return Ok(self
                    .verified(hit)
                    .map_or(Looked::Again, |found| Looked::Ended(Ended::Found(found))));
            }
            Ok(Reply::Busy(busy)) => {
                look.is_foreign = busy.foreign;
                self.policy.busy(Instant::now(), &busy)
            }
            Ok(Reply::Computed | Reply::Done) => return Ok(Looked::Ended(Ended::Computed)),
            Ok(reply) => return Err(self.refused(reply)),
            // The store may be available again before a call that was waiting times out.
            Err(error) if is_store_error(&error) && self.policy.has_begun() => {
                self.policy.failed(Instant::now())
            }
            Err(error) => return Err(error),
        };
        match next {
            Next::Sleep(rest) => Ok(Looked::Held(rest)),
            Next::TimedOut(waited) => Err(self.timed_out(waited)),
            Next::TakeOver(raw) => {
                look.stale = Some(raw);
                Ok(Looked::Again)
            }
        }
    }

    /// The claim is armed from before the request until a reply that is no grant.
    async fn ask(&self, pool: &Pool, claim: &mut Claim, look: &mut Look) -> Result<Reply, Error> {
        let options = &self.spec.options;
        let request = Request::Acquire(Acquire {
            tag: claim.tag.clone(),
            lease: millis(self.lease),
            max_block: millis(options.max_block_time),
            cached: options.cached_if_computed,
            fail_if_key_exists: options.fail_if_key_exists,
            want_value: self.want_value,
            refuse: self.spec.refuse.clone(),
            stale: look.stale.take(),
            holder: holder(&self.spec.site),
            bound: pool.bound(),
        });
        claim.arm(pool);
        let reply = if look.subscribes {
            let (reply, change) = pool.requests().ask_watched(&self.key, request).await?;
            look.change = Some(change);
            reply
        } else {
            pool.ask(&self.key, request).await?
        };
        if !matches!(reply, Reply::Acquired(_)) {
            claim.disarm();
        }
        Ok(reply)
    }

    /// With `replicas`, renews the grant once and waits for the replicas' acknowledgement of it: they apply writes in order,
    /// so they have the grant too. Returns when that request was sent.
    async fn replicate(&self, claim: &Claim, fence: u64) -> Result<Option<Instant>, Error> {
        let replicas = self.spec.options.replicas;
        if replicas == 0 {
            return Ok(None);
        }
        let sent = Instant::now();
        let request = Request::Renew(Renew {
            tag: claim.tag.clone(),
            fence,
            lease: millis(self.lease),
        });
        let asked = self.pool.requests().ask_replicas(&self.key, request, replicas);
        match Box::pin(asked).await? {
            Reply::Renewed if Instant::now() < deadline(self.lease, sent) => Ok(Some(sent)),
            _ => Err(Error::LeaseLost { key: self.name() }),
        }
    }

    fn end(self, mut claim: Claim, ended: Ended) -> Granted {
        match ended {
            Ended::Granted(fence, sent) => {
                // From now on the holder's requests take the caller's route again.
                claim.pool = self.pool;
                let terms = Terms {
                    lease: self.lease,
                    ttl: self.spec.options.ttl,
                    max_block: self.spec.options.max_block_time,
                    site: self.spec.site,
                };
                Granted::Lease(Lease::start(claim, fence, sent, terms))
            }
            Ended::Found(found) => {
                if let Some(leader) = claim.leader.take() {
                    leader.complete(&found);
                }
                Granted::Found(found, None, self.spec)
            }
            Ended::Computed => Granted::Computed(self.name()),
        }
    }

    fn refused(&self, reply: Reply) -> Error {
        let key = self.name();
        match reply {
            Reply::Exists(remaining) => Error::FailIfKeyExistsIsEnabled {
                key,
                remaining: remaining.map(Duration::from_millis),
            },
            Reply::Bad(BadState::Number) => Error::AtomicQueryInvalidState { key },
            Reply::Bad(BadState::Malformed) => Error::InvalidValueEncounteredDuringUnpacking { key },
            _ => unexpected_reply(key),
        }
    }
}

/// What one look leaves for the next.
#[derive(Default)]
struct Look {
    /// The state's bytes that were judged stale.
    stale: Option<Bytes>,
    /// A grant arrived late once already.
    was_late: bool,
    /// A Python worker holds the key.
    is_foreign: bool,
    /// The requests subscribe to the next change.
    subscribes: bool,
    change: Option<Change>,
}

/// Outcome of one look.
enum Looked {
    Ended(Ended),
    /// Look again at once.
    Again,
    /// Another caller holds the key: look again after this time, or at the next change.
    Held(Duration),
}

/// Outcome of the last look.
enum Ended {
    /// The fence of the lock, and when its request was sent.
    Granted(u64, Instant),
    Found(Found),
    Computed,
}

fn is_store_error(error: &Error) -> bool {
    matches!(
        error,
        Error::Store { .. } | Error::RedisNotInitialized { .. } | Error::EmbeddedNotInitialized { .. }
    )
}

async fn sleep(rest: Duration, change: Option<Change>) {
    tokio::select! {
        () = background::sleep(rest) => {}
        () = change.unwrap_or_else(|| Box::pin(std::future::pending())) => {}
    }
}
