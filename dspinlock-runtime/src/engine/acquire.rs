//! Asking for the lock: at once, and where another holds it, again and again from the background.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Call, Granted};
use crate::engine::wait::Next;
use crate::error::Error;
use crate::lease::claim::Claim;
use crate::lease::{Lease, Terms, deadline, holder, millis};
use crate::pool::Pool;
use crate::pool::flight::Found;
use crate::protocol::state::BadState;
use crate::protocol::{Acquire, Renew, Reply, Request};
use crate::rt::background;
use crate::store::Change;

/// How long a waiter lets a key be that a Python worker has just released: py-dspinlock watches the key it writes, so its
/// own write sends it to look again, and it raises an error where the key is another's by then.
const PYTHON_LOOKS: Duration = Duration::from_millis(20);

impl Call {
    /// Asks for the lock by the shortest way. Who has to wait does so in the background: whatever outlives one exchange
    /// must not depend on a runtime that may be busy or end, and a wake-up is dealt with where it arrives.
    pub(super) async fn acquire(mut self, mut claim: Claim) -> Result<Granted, Error> {
        let mut look = Look::default();
        let pool = self.pool.clone();
        loop {
            match self.look(&pool, &mut claim, &mut look).await? {
                Looked::Ended(ended) => return self.end(claim, ended),
                Looked::Again => {}
                Looked::Held(_) => return background::run(self.wait(claim, look)).await,
            }
        }
    }

    /// Looks whenever the store tells of a change, and when the holder's time is over. Each look goes out together with
    /// the server's promise to tell of the next change, so that none is missed.
    async fn wait(mut self, mut claim: Claim, mut look: Look) -> Result<Granted, Error> {
        let pool = self.pool.in_background();
        if let Some(seat) = &mut claim.seat {
            seat.watch();
        }
        look.watched = true;
        loop {
            match self.look(&pool, &mut claim, &mut look).await? {
                Looked::Ended(ended) => return self.end(claim, ended),
                Looked::Again => {}
                Looked::Held(rest) => {
                    sleep(rest, look.change.take()).await;
                    if look.foreign {
                        // A Python worker that has released looks at the key once more, and must find what it wrote.
                        background::sleep(PYTHON_LOOKS).await;
                    }
                    if let Some(found) = self.glance(&pool, &mut claim).await {
                        return self.end(claim, Ended::Found(found));
                    }
                }
            }
        }
    }

    /// A plain read: what woke a caller that is after a value is most likely that it is there, and no script is run.
    async fn glance(&mut self, pool: &Pool, claim: &mut Claim) -> Option<Found> {
        if !self.want_value || self.order.shared || self.order.refuse.is_some() {
            return None;
        }
        if let Some(seat) = &mut claim.seat {
            seat.ask();
        }
        // What went wrong will go wrong for the look that follows too, which knows how to go on.
        let (hit, _) = self.read(pool).await.ok()??;
        self.found(hit)
    }

    /// One ACQUIRE, judged.
    async fn look(&mut self, pool: &Pool, claim: &mut Claim, look: &mut Look) -> Result<Looked, Error> {
        let sent = Instant::now();
        let next = match self.ask(pool, claim, look).await {
            // So late that a beat is due: ask again, for a full lease. Only once, as the link may be that slow.
            Ok(Reply::Acquired(_)) if !look.late && sent.elapsed() > self.lease / 3 => {
                look.late = true;
                return Ok(Looked::Again);
            }
            Ok(Reply::Acquired(_)) if Instant::now() >= deadline(self.lease, sent) => {
                return Err(Error::LeaseLost {
                    key: self.key.clone(),
                });
            }
            Ok(Reply::Acquired(fence)) => {
                let sent = self.replicate(claim, fence).await?.unwrap_or(sent);
                return Ok(Looked::Ended(Ended::Fence(fence, sent)));
            }
            Ok(Reply::Hit(hit, _)) => {
                return Ok(self
                    .found(hit)
                    .map_or(Looked::Again, |found| Looked::Ended(Ended::Found(found))));
            }
            Ok(Reply::Busy(busy)) => {
                look.foreign = busy.foreign;
                self.patience.busy(Instant::now(), &busy)
            }
            Ok(reply) => return self.refused(reply).map(|()| Looked::Ended(Ended::Computed)),
            // The store may be back before a caller that waits already has lost its patience.
            Err(Error::Store { .. } | Error::RedisNotInitialized { .. }) if self.patience.has_begun() => {
                self.patience.failed(Instant::now())
            }
            Err(error) => return Err(error),
        };
        match next {
            Next::Sleep(rest) => Ok(Looked::Held(rest)),
            Next::GiveUp(waited) => Err(self.gave_up(waited)),
            Next::TakeOver(raw) => {
                look.stale = Some(raw);
                Ok(Looked::Again)
            }
        }
    }

    /// While a request is under way, and after a grant, the claim is armed.
    async fn ask(&self, pool: &Pool, claim: &mut Claim, look: &mut Look) -> Result<Reply, Error> {
        let options = &self.order.options;
        let key = &self.key;
        let request = Request::Acquire(Acquire {
            tag: claim.tag.clone(),
            lease: millis(self.lease),
            max_block: millis(options.max_block_time),
            cached: options.cached_if_computed,
            fail_if_key_exists: options.fail_if_key_exists,
            want_value: self.want_value,
            refuse: self.order.refuse.clone(),
            stale: look.stale.take(),
            holder: holder(&self.order.site),
            bound: pool.bound(),
        });
        claim.arm(pool);
        let reply = match look.watched {
            false => pool.ask(key, request).await?,
            true => {
                let (reply, change) = pool.ask_watched(key, request).await?;
                look.change = Some(change);
                reply
            }
        };
        if !matches!(reply, Reply::Acquired(_)) {
            claim.disarm();
        }
        Ok(reply)
    }

    /// Where replicas are to hear of a grant, it is renewed once more with them listening: they hear of writes in their
    /// order. Returns when that was sent. Whoever is not heard gives the key up, as every claim that is dropped does.
    async fn replicate(&self, claim: &Claim, fence: u64) -> Result<Option<Instant>, Error> {
        let replicas = self.order.options.replicas;
        if replicas == 0 {
            return Ok(None);
        }
        let sent = Instant::now();
        let request = Request::Renew(Renew {
            tag: claim.tag.clone(),
            fence,
            lease: millis(self.lease),
        });
        match Box::pin(self.pool.ask_replicas(&self.key, request, replicas)).await? {
            Reply::Renewed if Instant::now() < deadline(self.lease, sent) => Ok(Some(sent)),
            _ => Err(Error::LeaseLost {
                key: self.key.clone(),
            }),
        }
    }

    fn end(self, mut claim: Claim, ended: Ended) -> Result<Granted, Error> {
        Ok(match ended {
            Ended::Fence(fence, sent) => {
                // What the holder asks for goes its shortest way again.
                claim.pool = self.pool;
                let terms = Terms {
                    lease: self.lease,
                    ttl: self.order.options.ttl,
                    max_block: self.order.options.max_block_time,
                    site: self.order.site,
                };
                Granted::Lease(Lease::start(claim, fence, sent, terms))
            }
            Ended::Found(found) => {
                if let Some(seat) = claim.seat.take() {
                    seat.land(&found);
                }
                Granted::Found(found, None, self.order)
            }
            Ended::Computed => Granted::Computed,
        })
    }

    fn refused(&self, reply: Reply) -> Result<(), Error> {
        let key = self.key.clone();
        match reply {
            Reply::Exists(remaining) => Err(Error::FailIfKeyExistsIsEnabled {
                key,
                left: remaining.map(Duration::from_millis),
            }),
            Reply::Bad(BadState::Number) => Err(Error::AtomicQueryInvalidState { key }),
            Reply::Bad(BadState::Malformed) => Err(Error::InvalidValueEncounteredDuringUnpacking { key }),
            _ => Ok(()),
        }
    }
}

/// What one look leaves for the next.
#[derive(Default)]
struct Look {
    /// The state's bytes that were judged stale.
    stale: Option<Bytes>,
    /// A grant came late once already.
    late: bool,
    /// A Python worker holds the key.
    foreign: bool,
    /// The store is to tell of the next change.
    watched: bool,
    change: Option<Change>,
}

/// What a look found.
enum Looked {
    Ended(Ended),
    /// To be repeated at once.
    Again,
    /// Another holds the key: look again after so long, or at the next change.
    Held(Duration),
}

/// How the looking ended.
enum Ended {
    /// The lock is granted, by the request that was sent then.
    Fence(u64, Instant),
    Found(Found),
    Computed,
}

async fn sleep(rest: Duration, change: Option<Change>) {
    tokio::select! {
        () = background::sleep(rest) => {}
        () = change.unwrap_or_else(|| Box::pin(std::future::pending())) => {}
    }
}
