//! hit | lead | follow: what becomes of a call. Knows nothing of the user's types; one engine for sync and async.

mod acquire;
mod wait;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::engine::wait::{Next, Patience};
use crate::error::Error;
use crate::key::Key;
use crate::lease::claim::Claim;
use crate::lease::current::Frame;
use crate::lease::{Lease, Published};
use crate::options::{Options, check_length};
use crate::pool::Pool;
use crate::pool::flight::{Found, Joined, Seat, Word};
use crate::pool::near_cache::Fill;
use crate::protocol::value::Hit;
use crate::protocol::{Read, Reply};
use crate::rt::background;
pub(crate) use crate::store::Boxed;

/// One call on its way to the store.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub key: Key,
    /// The site's readable name, for the record of who holds what.
    pub site: Cow<'static, str>,
    pub options: Options,
    /// The greatest age of a value in the near cache, where the site has one.
    pub near_cache: Option<Duration>,
    /// A Python worker may know this key (`name = ""`).
    pub shared: bool,
    /// The tag of a stored value that this caller could not decode.
    pub refuse: Option<String>,
}

impl Order {
    /// The stored value with this tag is of no use to this caller.
    pub(crate) fn refuse(&mut self, tag: &[u8]) {
        self.refuse = Some(String::from_utf8_lossy(tag).into_owned());
    }
}

/// What the engine found for a call.
#[derive(Debug)]
pub(crate) enum Entered {
    /// The computed value, the tag it was published under, and its place in the near cache; and what was asked, to be asked
    /// again where the value turns out to be unreadable.
    Hit {
        payload: Bytes,
        tag: Bytes,
        fill: Option<Fill>,
        order: Box<Order>,
    },
    /// This caller computes, under this lease. Boxed: a call carries it in its future.
    Lead(Box<Lead>),
}

/// The right to compute: dropping it aborts at once, from the background.
#[derive(Debug)]
pub(crate) struct Lead {
    lease: Lease,
    frame: Arc<Frame>,
    max_value_size: usize,
}

/// Takes the lock of the global pool, waits for another's result, or reads it.
pub(crate) fn enter(order: Box<Order>) -> Boxed<Result<Entered, Error>> {
    Box::pin(async move {
        let pool = Pool::global()?.here();
        let max_value_size = pool.max_value_size();
        let parent = Frame::here();
        match Call::new(pool, order, true)?.run().await? {
            Granted::Lease(lease) => {
                let frame = Frame::within(parent, lease.held().clone());
                Ok(Entered::Lead(Box::new(Lead {
                    lease,
                    frame,
                    max_value_size,
                })))
            }
            Granted::Found(Found { payload, tag }, fill, order) => Ok(Entered::Hit {
                payload,
                tag,
                fill,
                order,
            }),
            Granted::Computed => unreachable!("a caller that wants the value is never told COMPUTED"),
        }
    })
}

/// Takes the lock of `pool` for the explicit API, which asks whether the key is computed, never for the value.
pub(crate) async fn acquire(pool: Pool, order: Box<Order>) -> Result<Option<Lease>, Error> {
    match Call::new(pool.here(), order, false)?.run().await? {
        Granted::Lease(lease) => Ok(Some(lease)),
        Granted::Found(..) | Granted::Computed => Ok(None),
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

    /// Gives the key up, and is done when the store has heard of it: a caller that got an error may try again at once, or
    /// end its process.
    pub(crate) fn give_up(self) -> Boxed<Result<(), Error>> {
        Box::pin(async move {
            self.lease.give_up().await;
            Ok(())
        })
    }

    pub(crate) fn key(&self) -> &Key {
        &self.lease.held().key
    }
}

/// How a call ended its way to the store.
enum Granted {
    Lease(Lease),
    Found(Found, Option<Fill>, Box<Order>),
    Computed,
}

/// How far a call gets without asking for the lock.
enum Begun {
    Found(Found, Option<Fill>),
    Seated(Option<Seat>),
}

/// One call at work.
struct Call {
    pool: Pool,
    /// Its name in the store.
    key: Key,
    order: Box<Order>,
    want_value: bool,
    lease: Duration,
    patience: Patience,
}

impl Call {
    fn new(pool: Pool, order: Box<Order>, attribute: bool) -> Result<Self, Error> {
        // The order keeps the name that the user gave: it may be given again.
        let key = pool.named(order.key.clone());
        let lease = order.options.check()?;
        if let Some(age) = order.near_cache {
            check_length("near_cache", age)?;
        }
        if Frame::here().is_some_and(|frame| frame.holds(&pool, &key)) {
            return Err(Error::Recursion { key });
        }
        let want_value = attribute && order.options.cached_if_computed;
        let patience = Patience::new(&order.options);
        Ok(Self {
            pool,
            key,
            order,
            want_value,
            lease,
            patience,
        })
    }

    /// Follow another call of this process, or take the seat, read, and ask for the lock.
    ///
    /// A hit's future is small: what only some calls need is boxed.
    #[expect(clippy::manual_async_fn, reason = "an async fn would hold the call twice")]
    fn run(mut self) -> impl Future<Output = Result<Granted, Error>> {
        async move {
            match self.begin().await? {
                Begun::Found(found, fill) => Ok(Granted::Found(found, fill, self.order)),
                Begun::Seated(seat) => {
                    let claim = Claim::new(&self.pool, &self.key, self.lease, seat);
                    Box::pin(self.acquire(claim)).await
                }
            }
        }
    }

    async fn begin(&mut self) -> Result<Begun, Error> {
        let mut seat = None;
        // To whom an existing key is an error, and who does not wait, asks for itself and at once.
        if !self.order.options.fail_if_key_exists && self.patience.waits() {
            seat = Some(match self.join() {
                // New: nobody has joined it yet.
                Joined::Seat(seat) => seat,
                Joined::Queue(words) => match Box::pin(self.follow(words)).await? {
                    Word::Value(found) => return Ok(Begun::Found(found, None)),
                    Word::Seat(mut seat) => {
                        seat.ask();
                        seat
                    }
                },
            });
        }
        let reads = self.want_value && !self.order.options.fail_if_key_exists && self.order.refuse.is_none();
        if reads
            && !seat.as_ref().is_some_and(Seat::is_cold)
            && let Some((hit, fill)) = self.read(&self.pool).await?
            && let Some(found) = self.found(hit)
        {
            if let Some(seat) = seat {
                seat.land(&found);
            }
            return Ok(Begun::Found(found, fill));
        }
        Ok(Begun::Seated(seat))
    }

    fn join(&self) -> Joined {
        let accepts = self.want_value && self.order.refuse.is_none();
        self.pool.flights().join(&self.key, accepts)
    }

    /// Waits for word of the one who goes for all. Where it takes long, one of those who follow looks too.
    async fn follow(&mut self, mut words: oneshot::Receiver<Word>) -> Result<Word, Error> {
        loop {
            let rest = match self.patience.following(Instant::now()) {
                Next::Sleep(rest) => rest,
                Next::TakeOver(_) => Duration::ZERO,
                Next::GiveUp(waited) => return Err(self.gave_up(waited)),
            };
            tokio::select! {
                biased;
                word = &mut words => match word {
                    Ok(word) => return Ok(word),
                    // The flight is gone: there is another, or a free seat.
                    Err(_) => match self.join() {
                        Joined::Seat(seat) => return Ok(Word::Seat(seat)),
                        Joined::Queue(again) => words = again,
                    },
                },
                () = background::sleep(rest) => {}
            }
            if let Some(scout) = self.pool.flights().scout(&self.key) {
                return Ok(Word::Seat(scout));
            }
        }
    }

    /// The hit path: one round trip, no lock.
    async fn read(&self, pool: &Pool) -> Result<Option<(Hit, Option<Fill>)>, Error> {
        let request = Read {
            shared: self.order.shared,
            bound: pool.bound(),
        };
        let (reply, fill) = match self.order.near_cache {
            Some(_) => Box::pin(pool.read_near(&self.key, request)).await?,
            None => (pool.read(&self.key, request).await?, None),
        };
        match reply {
            Reply::Hit(hit, _) => Ok(Some((hit, fill))),
            _ => Ok(None),
        }
    }

    fn gave_up(&self, waited: Duration) -> Error {
        Error::SpinlockTriesExceeded {
            key: self.key.clone(),
            waited,
        }
    }

    /// The value of a hit. One that is damaged is as good as none, and is refused from now on.
    fn found(&mut self, mut hit: Hit) -> Option<Found> {
        let intact = self.pool.unseal(&self.key, &mut hit);
        let Hit { payload, tag, .. } = hit;
        if intact {
            return Some(Found { payload, tag });
        }
        self.order.refuse(&tag);
        None
    }
}
