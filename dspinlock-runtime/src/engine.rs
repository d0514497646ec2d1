//! hit | lead | follow: what becomes of a call. Knows nothing of the user's types; one engine for sync and async.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::background;
use crate::current::Frame;
use crate::error::Error;
use crate::flight::Waiter;
use crate::key::Key;
use crate::lease::{Claim, Lease, Published, Terms, millis};
use crate::options::Options;
use crate::pool::Pool;
use crate::protocol::{Acquire, Read, Reply, Request};
use crate::state::BadState;
pub(crate) use crate::store::Boxed;
use crate::value::{Holder, Value};
use crate::wait::{Next, Patience};

/// One call on its way to the store.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub key: Key,
    /// The site's readable name, for the record of who holds what.
    pub site: Cow<'static, str>,
    pub options: Options,
    /// A Python worker may know this key (`name = ""`).
    pub shared: bool,
    /// The tag of a stored value that this caller could not decode.
    pub refuse: Option<String>,
}

/// What the engine found for a call.
#[derive(Debug)]
pub(crate) enum Entered {
    /// The computed value, and the tag it was published under.
    Hit { payload: Bytes, tag: String },
    /// This caller computes, under this lease.
    Lead(Lead),
}

/// The right to compute: dropping it aborts at once, from the background.
#[derive(Debug)]
pub(crate) struct Lead {
    lease: Lease,
    frame: Arc<Frame>,
    max_value_size: usize,
}

/// Takes the lock of the global pool, waits for another's result, or reads it.
pub(crate) fn enter(order: Order) -> Boxed<Result<Entered, Error>> {
    Box::pin(async move {
        let pool = Pool::global()?;
        let parent = Frame::here();
        let mut call = Call::new(&pool, order, true)?;
        if let Some(hit) = call.read().await? {
            return Ok(hit);
        }
        let lease = match call.acquire().await? {
            Granted::Lease(lease) => lease,
            Granted::Hit(value) => return Ok(hit(value)),
            Granted::Computed => unreachable!("a caller that wants the value is never told COMPUTED"),
        };
        let frame = Frame::within(parent, lease.held().clone());
        Ok(Entered::Lead(Lead {
            lease,
            frame,
            max_value_size: pool.max_value_size(),
        }))
    })
}

/// Takes the lock of `pool` for the explicit API, which asks whether the key is computed, never for the value.
pub(crate) async fn acquire(pool: Pool, order: Order) -> Result<Option<Lease>, Error> {
    match Call::new(&pool, order, false)?.acquire().await? {
        Granted::Lease(lease) => Ok(Some(lease)),
        Granted::Hit(_) | Granted::Computed => Ok(None),
    }
}

impl Lead {
    /// Polls or runs `body` with this lease as `dspinlock::current()`.
    pub(crate) fn scope<T>(&self, body: impl FnOnce() -> T) -> T {
        self.frame.enter(body)
    }

    /// Leaves COMPUTED, with the value where there is one. A lost lease or a store that is away is no error of the
    /// caller's, who has its value: that it was not kept is logged.
    ///
    /// `Err` only where the payload is larger than the pool's `max_value_size`.
    pub(crate) fn publish(self, payload: Option<Bytes>) -> Boxed<Result<(), Error>> {
        Box::pin(async move {
            let key = self.key().clone();
            let (size, limit) = (payload.as_ref().map_or(0, Bytes::len), self.max_value_size);
            if size > limit {
                return Err(Error::ValueTooLarge { key, size, limit });
            }
            match self.lease.publish(payload).await {
                Ok(Published::Kept) => {}
                Ok(_) => {
                    log::warn!(target: "dspinlock", "the lease on {key} was lost: the value is not kept")
                }
                Err(error) => log::warn!(target: "dspinlock", "the value is not kept: {error}"),
            }
            Ok(())
        })
    }

    pub(crate) fn key(&self) -> &Key {
        &self.lease.held().key
    }
}

/// How an acquire ended.
enum Granted {
    Lease(Lease),
    Hit(Value),
    Computed,
}

/// One call at work.
struct Call<'a> {
    pool: &'a Pool,
    order: Order,
    want_value: bool,
    terms: Terms,
}

impl<'a> Call<'a> {
    fn new(pool: &'a Pool, order: Order, attribute: bool) -> Result<Self, Error> {
        let lease = order.options.check()?;
        if Frame::here().is_some_and(|frame| frame.holds(pool, &order.key)) {
            return Err(Error::Recursion { key: order.key });
        }
        let terms = Terms {
            lease,
            ttl: order.options.ttl,
            max_block: order.options.max_block_time,
            holder: Holder::here(&order.site),
        };
        let want_value = attribute && order.options.cached_if_computed;
        Ok(Self {
            pool,
            order,
            want_value,
            terms,
        })
    }

    /// The hit path: one round trip, no lock. A caller to whom an existing key is an error has no use for it.
    async fn read(&mut self) -> Result<Option<Entered>, Error> {
        let options = &self.order.options;
        if !self.want_value || options.fail_if_key_exists || self.order.refuse.is_some() {
            return Ok(None);
        }
        let request = Request::Read(Read {
            shared: self.order.shared,
            bound: self.pool.bound(),
        });
        match self.pool.ask(&self.order.key, request).await? {
            Reply::Hit(value, _) if value.is_intact() => Ok(Some(hit(value))),
            Reply::Hit(value, _) => {
                self.refuse(&value);
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    /// Asks for the lock until it is granted, or another's result is there, or patience is at its end.
    async fn acquire(&mut self) -> Result<Granted, Error> {
        let mut claim = Claim::new(self.pool, &self.order.key);
        let mut patience = Patience::new(&self.order.options);
        let mut stale = None;
        let mut late = false;
        let mut waiter: Option<Waiter> = None;
        loop {
            // Armed before the store is asked: a change from here on is not missed.
            let changed = waiter.as_mut().map(|waiter| {
                waiter.rearm();
                self.pool.changed()
            });
            let sent = Instant::now();
            let next = match self.ask(&mut claim, stale.take()).await {
                // So late that a beat is due: ask again, for a full lease. Only once, as the link may be that slow.
                Ok(Reply::Acquired(_)) if !late && sent.elapsed() > self.terms.lease / 3 => {
                    late = true;
                    continue;
                }
                Ok(Reply::Acquired(_)) if Instant::now() >= self.terms.deadline(sent) => {
                    let key = self.order.key.clone();
                    return Err(Error::LeaseLost { key });
                }
                Ok(Reply::Acquired(fence)) => {
                    return Ok(Granted::Lease(Lease::start(
                        claim,
                        fence,
                        sent,
                        self.terms.clone(),
                    )));
                }
                Ok(Reply::Hit(value, _)) if value.is_intact() => return Ok(Granted::Hit(value)),
                Ok(Reply::Hit(value, _)) => {
                    self.refuse(&value);
                    continue;
                }
                Ok(Reply::Busy(busy)) => patience.busy(Instant::now(), &busy),
                Ok(reply) => return self.refused(reply),
                // The store may be back before a caller that waits already has lost its patience.
                Err(Error::Store { .. } | Error::RedisNotInitialized { .. }) if patience.has_begun() => {
                    patience.failed(Instant::now())
                }
                Err(error) => return Err(error),
            };
            match (next, &mut waiter) {
                (Next::TakeOver(raw), _) => stale = Some(raw),
                (Next::GiveUp(waited), _) => {
                    return Err(Error::SpinlockTriesExceeded {
                        key: self.order.key.clone(),
                        waited,
                    });
                }
                // Arm the wake-ups, then look once more.
                (Next::Sleep(_), None) => waiter = Some(self.pool.flights().join(&self.order.key)),
                (Next::Sleep(rest), Some(waiter)) => sleep(rest, waiter, changed).await,
            }
        }
    }

    /// One ACQUIRE. While it is under way, and after a grant, the claim is armed.
    async fn ask(&self, claim: &mut Claim, stale: Option<Bytes>) -> Result<Reply, Error> {
        let options = &self.order.options;
        let request = Acquire {
            tag: claim.tag.clone(),
            lease: millis(self.terms.lease),
            max_block: millis(self.terms.max_block),
            cached: options.cached_if_computed,
            fail_if_key_exists: options.fail_if_key_exists,
            want_value: self.want_value,
            refuse: self.order.refuse.clone(),
            stale,
            holder: self.terms.holder.clone(),
            bound: self.pool.bound(),
        };
        claim.arm();
        let reply = self.pool.ask(&self.order.key, Request::Acquire(request)).await?;
        if !matches!(reply, Reply::Acquired(_)) {
            claim.disarm();
        }
        Ok(reply)
    }

    fn refused(&self, reply: Reply) -> Result<Granted, Error> {
        let key = self.order.key.clone();
        match reply {
            Reply::Exists(left) => Err(Error::FailIfKeyExistsIsEnabled {
                key,
                left: left.map(Duration::from_millis),
            }),
            Reply::Bad(BadState::Number) => Err(Error::AtomicQueryInvalidState { key }),
            Reply::Bad(BadState::Malformed) => Err(Error::InvalidValueEncounteredDuringUnpacking { key }),
            _ => Ok(Granted::Computed),
        }
    }

    /// A value that is damaged is as good as none.
    fn refuse(&mut self, value: &Value) {
        self.order.refuse = value.header.value.as_ref().map(|stored| stored.tag.clone());
    }
}

async fn sleep(rest: Duration, waiter: &mut Waiter, changed: Option<Boxed<()>>) {
    let changed = changed.unwrap_or_else(|| Box::pin(std::future::pending()));
    tokio::select! {
        () = background::sleep(rest) => {}
        () = waiter.woken() => {}
        () = changed => {}
    }
}

fn hit(value: Value) -> Entered {
    let tag = value.header.value.map(|stored| stored.tag).unwrap_or_default();
    Entered::Hit {
        payload: value.payload,
        tag,
    }
}
