//! The second part of a call: acquire the lock, or wait on the background thread while another caller holds it.
//!
//! `follow` calls it. A wait never depends on the caller's runtime.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;

use super::attempt::{Attempt, Outcome};
use super::failures::Failures;
use super::wait::Next;
use crate::error::Error;
use crate::lease::Lease;
use crate::lease::claim::Claim;
use crate::lease::heartbeat;
use crate::lease::held::{Terms, deadline, millis};
use crate::pool::Pool;
use crate::pool::flight::Found;
use crate::protocol::state::BadState;
use crate::protocol::tag::{Head, Id};
use crate::protocol::{Acquire, Existing, Read, Renew, Reply, Request, encoding};
use crate::rt::clock::Instant;
use crate::rt::{background, metrics, thread_end};
use crate::store::Change;

/// The pause before a waiter takes a key that a Python worker has released. py-dspinlock reads the key once more after its
/// own write, and raises an error if another caller holds it by then.
const PYTHON_PAUSE: Duration = Duration::from_millis(20);

/// So long a process leaves the lock to others after its turn, unless one of them takes it.
const YIELD: Duration = Duration::from_millis(1);

/// A call whose body was stopped waits this long for the next holder of its key.
const NEXT_HOLDER: Duration = Duration::from_millis(200);

/// A call waits this long before it looks again whether its process still ends.
const END_OF_PROCESS: Duration = Duration::from_millis(10);

impl Attempt {
    /// Sends an ACQUIRE. Waiting happens on the background thread, because the caller's runtime may be busy or shut down.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] at once if the pool is or becomes closed, and the other errors of a call.
    pub(super) async fn acquire(self, claim: Claim) -> Result<Outcome, Error> {
        let pool = self.pool.clone();
        let acquired = pin!(self.try_or_wait(claim));
        pool.closing().or_closed(acquired).await
    }

    async fn try_or_wait(mut self, claim: Claim) -> Result<Outcome, Error> {
        heartbeat::give_up_at_end_of_process();
        let mut state = Acquisition::new(claim);
        let yields = state.claim.take_yield();
        if !yields {
            match self.try_once(&mut state).await? {
                Tried::Granted(id, sent) => return self.lead(state, id, sent),
                Tried::Found(found) => return Ok(self.found(state, found)),
                Tried::Away => return self.alone(state.claim.into_leader()),
                Tried::Held(_) => {}
            }
        }
        background::run(self.wait(state, yields)).await
    }

    /// Tries again at every change of the record, and when the holder's lease expires. Each request also subscribes to the
    /// next change, so no change is missed. `yields`: the turn of this process is over.
    async fn wait(mut self, mut state: Acquisition, yields: bool) -> Result<Outcome, Error> {
        state.claim.begin_watching();
        state.subscribes = true;
        if yields {
            self.yield_turn().await;
        }
        loop {
            match self.try_once(&mut state).await? {
                Tried::Granted(id, sent) => return self.lead(state, id, sent),
                Tried::Found(found) => return Ok(self.found(state, found)),
                Tried::Away => return self.alone(state.claim.into_leader()),
                Tried::Held(rest) => self.sleep(rest, state.change.take()).await,
            }
            self.pool.timers().sleep(state.claim.backoff()).await;
            if self.is_held_by_python(&state) {
                self.pool.timers().sleep(PYTHON_PAUSE).await;
            }
            if let Some(found) = self.read_value(&mut state).await? {
                return Ok(self.found(state, found));
            }
        }
    }

    /// Looks at the key until another call has computed it. Never asks for the lock.
    pub(super) async fn witness(mut self) -> Result<Found, Error> {
        let lost = Error::LeaseLost { key: self.name() };
        let (mut was_free, mut failures) = (false, Failures::default());
        loop {
            let bound = self.pool.bound();
            let request = Request::Describe(Read { bound });
            let requests = self.pool.requests();
            let (reply, change) = match requests.send_watched(&self.key, request, &mut false).await {
                Ok(described) => described,
                // The lease may be lost because the store is away.
                Err(error) if failures.may_pass(&error, self.now()) => {
                    match self.policy.failed(self.now()) {
                        Next::Sleep(rest) => self.pool.timers().sleep(rest).await,
                        _ => return Err(lost),
                    }
                    continue;
                }
                Err(_) => return Err(lost),
            };
            failures.succeeded();
            match reply {
                Reply::Hit(hit, remaining) => return self.verified(hit, remaining)?.ok_or(lost),
                Reply::Exists(_) if self.key.is_shared() => return Ok(Found::NO_VALUE),
                Reply::Busy(existing) => {
                    self.meets(&existing)?;
                    match self.policy.busy(self.now(), &existing) {
                        Next::Sleep(rest) => self.sleep(rest, Some(change)).await,
                        Next::TakeOver(_) => self.sleep(YIELD, Some(change)).await,
                        Next::TimedOut(_) => return Err(lost),
                    }
                }
                // A caller that waits takes the key in a moment.
                Reply::Miss if !was_free => {
                    was_free = true;
                    self.sleep(NEXT_HOLDER, Some(change)).await;
                }
                _ => return Err(lost),
            }
        }
    }

    /// Sleeps until another process takes the lock, for at most [`YIELD`].
    async fn yield_turn(&self) {
        let read = Request::Read(Read { bound: Head::LENGTH });
        let requests = self.pool.requests();
        // An error is ignored: if the store still fails, the ACQUIRE reports it.
        if let Ok((_, change)) = requests.send_watched(&self.key, read, &mut false).await {
            tokio::select! {
                () = change => {}
                () = self.pool.timers().sleep(YIELD) => {}
            }
        }
    }

    /// Pauses, then sleeps until `change`, for at most `rest` in all. A change during the pause is latched.
    async fn sleep(&mut self, rest: Duration, change: Option<Change>) {
        // A clock that is moved by hand would not end the pause.
        let pause = match self.pool.timers().is_by_hand() {
            true => Duration::ZERO,
            false => self.policy.pause().min(rest),
        };
        self.pool.timers().sleep(pause).await;
        let start = self.now();
        tokio::select! {
            () = self.pool.timers().wait(rest - pause) => {}
            () = change.unwrap_or_else(|| Box::pin(std::future::pending())) => {}
        }
        self.policy.woken(self.now() - start);
    }

    /// The current moment of the clock of the pool.
    fn now(&self) -> Instant {
        self.pool.timers().now()
    }

    /// Whether another call of this process holds the key.
    fn is_own(&self, existing: &Existing) -> bool {
        let own = self.spec.caller.origin();
        encoding::holder(&self.key, existing)
            .is_some_and(|holder| holder.process_id() == own.process && holder.host() == own.host)
    }

    /// Whether the call runs without the lock now that the store cannot be asked: the lease of the last holder is over.
    fn may_run_unlocked(&self, state: &Acquisition, error: &Error) -> bool {
        self.spec.runs_unlocked && error.is_of_store() && state.last_lease_is_over(&self.pool)
    }

    fn is_held_by_python(&self, state: &Acquisition) -> bool {
        let is_foreign = |existing| encoding::holder(&self.key, existing).is_none();
        self.key.is_shared()
            && state
                .existing
                .as_ref()
                .is_some_and(|(existing, _)| is_foreign(existing))
    }

    /// Reads without a script, because the change that woke the waiter is usually a publish.
    async fn read_value(&mut self, state: &mut Acquisition) -> Result<Option<Found>, Error> {
        if !self.want_value || self.spec.refuse.is_some() {
            return Ok(None);
        }
        state.claim.ask();
        // An error is ignored: if the store still fails, the next ACQUIRE reports it.
        match self.read().await {
            Ok(Some((found, _))) => Ok(Some(found)),
            Ok(None) | Err(_) => Ok(None),
        }
    }

    /// Sends an ACQUIRE, and another one if its reply demands that.
    async fn try_once(&mut self, state: &mut Acquisition) -> Result<Tried, Error> {
        // The bytes of a stale state, which the next ACQUIRE takes over.
        let mut stale = None;
        loop {
            let sent = self.now();
            let is_stale = stale.is_some();
            let next = match self.send(state, stale.take()).await {
                // A connection gave the reply to another request.
                Ok(Reply::Acquired(id)) if id.tag != state.claim.tag() => return Err(self.unexpected_reply()),
                // The reply took so long that a renewal is due. A second ACQUIRE grants a full lease. There is no third one,
                // because the network may always be this slow.
                Ok(Reply::Acquired(_)) if !state.was_late && self.now() - sent > self.lease / 3 => {
                    state.was_late = true;
                    continue;
                }
                Ok(Reply::Acquired(_)) if self.now() >= deadline(self.lease, sent) => {
                    return Err(Error::LeaseLost { key: self.name() });
                }
                Ok(Reply::Acquired(id)) => {
                    if is_stale || state.last_lease_is_over(&self.pool) {
                        metrics::takeover(&self.spec.caller.site);
                    }
                    return match self.replicate(id).await {
                        Ok(renewed) => Ok(Tried::Granted(id, renewed.unwrap_or(sent))),
                        Err(error) if self.spec.runs_unlocked && error.is_of_store() => Ok(Tried::Away),
                        Err(error) => Err(error),
                    };
                }
                Ok(Reply::Hit(hit, remaining)) if self.want_value => match self.verified(hit, remaining)? {
                    Some(found) => return Ok(Tried::Found(found)),
                    None => continue,
                },
                Ok(Reply::Busy(existing)) => {
                    self.meets(&existing)?;
                    if !self.is_own(&existing) {
                        let last = state.existing.as_ref().map(|(existing, _)| holder(existing));
                        state.claim.saw_holder(last != Some(holder(&existing)));
                    }
                    let next = self.policy.busy(self.now(), &existing);
                    state.existing = Some((existing, self.now()));
                    next
                }
                Ok(Reply::Computed) if self.spec.options.cached_if_computed => {
                    return Ok(Tried::Found(Found::NO_VALUE));
                }
                Ok(reply) => {
                    if let Reply::Exists(existing) = &reply {
                        self.meets(existing)?;
                    }
                    return Err(self.reply_error(reply));
                }
                // The store may be available again before a call that was waiting times out.
                Err(error)
                    if self.policy.has_seen_holder()
                        && !self.may_run_unlocked(state, &error)
                        && state.failures.may_pass(&error, self.now()) =>
                {
                    self.policy.failed(self.now())
                }
                Err(error) if self.spec.runs_unlocked && error.is_of_store() => {
                    self.pool.went_away(&self.key, &error);
                    return Ok(Tried::Away);
                }
                Err(error) => return Err(error),
            };
            match next {
                Next::Sleep(rest) => return Ok(Tried::Held(rest)),
                Next::TimedOut(waited) => {
                    let existing = state.existing.as_ref().map(|(existing, _)| existing);
                    return Err(self.timed_out(waited, existing));
                }
                Next::TakeOver(raw) => stale = Some(raw),
            }
        }
    }

    /// Sends an ACQUIRE. The claim is armed before it, and disarmed by a reply that is not a grant.
    async fn send(&self, state: &mut Acquisition, stale: Option<Bytes>) -> Result<Reply, Error> {
        let (options, claim) = (&self.spec.options, &mut state.claim);
        let request = Request::Acquire(Acquire {
            tag: claim.tag(),
            lease: millis(self.lease),
            max_block: millis(options.max_block_time),
            cached: options.cached_if_computed,
            fail_if_key_exists: options.fail_if_key_exists,
            seize: self.spec.seizes,
            refuse: self.spec.refuse,
            stale,
            origin: self.spec.caller.origin(),
            bound: self.pool.bound(),
        });
        // Armed before it looks: the end of the process aborts the claims that it finds after it has begun.
        let mut was_armed = claim.arm()?;
        while thread_end::is_ending() {
            if !was_armed {
                claim.disarm();
            }
            background::sleep(END_OF_PROCESS).await;
            was_armed = claim.arm()?;
        }
        let (requests, lost_copy) = (self.pool.requests(), claim.lost_copy());
        let answer = if state.subscribes {
            let watched = requests.send_watched(&self.key, request, lost_copy).await;
            watched.map(|(reply, change)| {
                state.change = Some(change);
                reply
            })
        } else {
            requests.send_noting(&self.key, request, lost_copy).await
        };
        if !was_armed && answer.as_ref().is_err_and(is_not_sent) {
            // Otherwise each call of an outage would send ABORTs for a lease.
            claim.disarm();
        }
        let reply = answer?;
        state.failures.succeeded();
        if !matches!(reply, Reply::Acquired(_)) {
            claim.disarm();
        }
        Ok(reply)
    }

    /// With `replicas`, renews the lease once and waits until the replicas acknowledge the renewal. Replicas apply writes in
    /// order, so they then have the grant too. Returns when the renewal was sent.
    async fn replicate(&self, id: Id) -> Result<Option<Instant>, Error> {
        let replicas = self.spec.options.replicas;
        if replicas == 0 {
            return Ok(None);
        }
        let sent = self.now();
        let request = Request::Renew(Renew {
            id,
            lease: millis(self.lease),
        });
        let renewal = self.pool.requests().send_replicated(&self.key, request, replicas);
        match Box::pin(renewal).await.map_err(as_acquire)? {
            Reply::Renewed if self.now() < deadline(self.lease, sent) => Ok(Some(sent)),
            _ => Err(Error::LeaseLost { key: self.name() }),
        }
    }

    fn lead(self, state: Acquisition, id: Id, sent: Instant) -> Result<Outcome, Error> {
        let terms = Terms {
            lease: self.lease,
            ttl: self.spec.options.ttl,
            max_block: self.spec.options.max_block_time,
            keeps_mark: self.spec.keeps_mark || self.key.is_shared() || self.spec.options.fail_if_key_exists,
            caller: self.spec.caller,
        };
        Lease::start(state.claim, id, sent, terms).map(Outcome::Lead)
    }

    /// A value, also for the followers of the call.
    fn found(&self, mut state: Acquisition, found: Found) -> Outcome {
        state.claim.complete(&found);
        match self.policy.has_seen_holder() {
            true => Outcome::Followed(found),
            false => Outcome::Hit(found, None),
        }
    }

    /// The error of a reply that refuses the lock.
    fn reply_error(&self, reply: Reply) -> Error {
        let key = self.name();
        match reply {
            Reply::Exists(existing) if self.spec.options.fail_if_key_exists => {
                Error::FailIfKeyExistsIsEnabled {
                    key,
                    remaining: existing.remaining.map(Duration::from_millis),
                    holder: encoding::holder(&self.key, &existing),
                }
            }
            Reply::Bad(BadState::Number) => Error::AtomicQueryInvalidState { key },
            Reply::Bad(BadState::Malformed) => Error::InvalidValueEncounteredDuringUnpacking { key },
            _ => self.unexpected_reply(),
        }
    }
}

/// What one try passes to the next.
struct Acquisition {
    claim: Claim,
    /// A grant has arrived too late once.
    was_late: bool,
    /// The last other holder, and when it was seen.
    existing: Option<(Existing, Instant)>,
    /// Each request subscribes to the next change.
    subscribes: bool,
    /// The next change, if the last request subscribed to it.
    change: Option<Change>,
    failures: Failures,
}

impl Acquisition {
    fn new(claim: Claim) -> Self {
        Self {
            claim,
            was_late: false,
            existing: None,
            subscribes: false,
            change: None,
            failures: Failures::default(),
        }
    }

    /// Whether the last holder that was seen has let its lease expire.
    fn last_lease_is_over(&self, pool: &Pool) -> bool {
        self.existing.as_ref().is_some_and(|(existing, seen)| {
            let remaining = existing.remaining.map(Duration::from_millis);
            remaining.is_some_and(|remaining| pool.timers().elapsed(*seen) >= remaining)
        })
    }
}

/// Outcome of a try.
enum Tried {
    /// The grant, and when the ACQUIRE or its renewal was sent.
    Granted(Id, Instant),
    Found(Found),
    /// The store cannot be asked, and the call runs without the lock.
    Away,
    /// Another caller holds the key: try again after this time, or at the next change.
    Held(Duration),
}

/// What a line of the single encoding says of the holder behind its tag and fence: the process and the site.
fn holder(existing: &Existing) -> &[u8] {
    existing.line.get(Head::LENGTH..).unwrap_or_default()
}

/// Whether the store was not available, so that the request was not sent.
fn is_not_sent(error: &Error) -> bool {
    matches!(
        error,
        Error::RedisNotInitialized { .. } | Error::EmbeddedNotInitialized { .. }
    )
}

/// The renewal for the replicas is a part of the acquire.
fn as_acquire(error: Error) -> Error {
    match error {
        Error::Store { key, reason, .. } => Error::Store {
            operation: "acquire",
            key,
            reason,
        },
        other => other,
    }
}
