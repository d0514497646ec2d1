//! The second part of a call: acquire the lock, or wait on the background thread while another caller holds it.
//!
//! `follow` calls it. A wait never depends on the caller's runtime.

use std::time::Duration;

use bytes::Bytes;

use super::attempt::{Attempt, Outcome};
use super::failures::Failures;
use super::wait::Next;
use crate::error::Error;
use crate::lease::Lease;
use crate::lease::claim::Claim;
use crate::lease::heartbeat;
use crate::lease::held::{Terms, deadline, millis, origin};
use crate::pool::flight::Found;
use crate::protocol::state::BadState;
use crate::protocol::tag::{Head, Id};
use crate::protocol::{Acquire, Existing, Read, Renew, Reply, Request, encoding};
use crate::rt::clock::Instant;
use crate::rt::{background, thread_end};
use crate::store::Change;

/// The pause before a waiter takes a key that a Python worker has released. py-dspinlock reads the key once more after its
/// own write, and raises an error if another caller holds it by then.
const PYTHON_PAUSE: Duration = Duration::from_millis(20);

/// So long a process leaves the lock to others after its turn, unless one of them takes it.
const YIELD: Duration = Duration::from_millis(1);

/// A call waits this long before it looks again whether its process still ends.
const END_OF_PROCESS: Duration = Duration::from_millis(10);

impl Attempt {
    /// Sends an ACQUIRE. Waiting happens on the background thread, because the caller's runtime may be busy or shut down.
    pub(super) async fn acquire(mut self, mut claim: Claim) -> Result<Outcome, Error> {
        heartbeat::give_up_at_end_of_process();
        let mut state = TryState {
            yields: claim.take_yield(),
            ..TryState::default()
        };
        while !state.yields {
            match self.try_once(&mut claim, &mut state).await? {
                TryOutcome::Ended(ended) => return Ok(self.end(claim, ended)),
                TryOutcome::Retry => {}
                TryOutcome::Held(_) => break,
            }
        }
        background::run(self.wait(claim, state)).await
    }

    /// Tries again at every change of the record, and when the holder's lease expires. Each request also subscribes to the
    /// next change, so no change is missed.
    async fn wait(mut self, mut claim: Claim, mut state: TryState) -> Result<Outcome, Error> {
        claim.begin_watching();
        state.subscribes = true;
        if state.yields {
            self.yield_turn().await;
        }
        loop {
            match self.try_once(&mut claim, &mut state).await? {
                TryOutcome::Ended(ended) => return Ok(self.end(claim, ended)),
                TryOutcome::Retry => {}
                TryOutcome::Held(rest) => {
                    self.sleep(rest, state.change.take()).await;
                    background::sleep(claim.backoff()).await;
                    if self.is_held_by_python(&state) {
                        background::sleep(PYTHON_PAUSE).await;
                    }
                    if let Some(found) = self.read_value(&mut claim).await? {
                        return Ok(self.end(claim, Ended::Found(found)));
                    }
                }
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
                () = background::sleep(YIELD) => {}
            }
        }
    }

    /// Pauses, then sleeps until `change`, for at most `rest` in all. A change during the pause is latched.
    async fn sleep(&mut self, rest: Duration, change: Option<Change>) {
        let pause = self.policy.pause().min(rest);
        background::sleep(pause).await;
        let start = Instant::now();
        tokio::select! {
            () = background::sleep(rest - pause) => {}
            () = change.unwrap_or_else(|| Box::pin(std::future::pending())) => {}
        }
        self.policy.woken(start.elapsed());
    }

    /// Whether another call of this process holds the key.
    fn is_own(&self, existing: &Existing) -> bool {
        let own = origin("");
        encoding::holder(&self.key, existing)
            .is_some_and(|holder| holder.process_id() == own.process && holder.host() == own.host)
    }

    fn is_held_by_python(&self, state: &TryState) -> bool {
        let is_foreign = |existing| encoding::holder(&self.key, existing).is_none();
        self.key.is_shared() && state.existing.as_ref().is_some_and(is_foreign)
    }

    /// Reads without a script, because the change that woke the waiter is usually a publish.
    async fn read_value(&mut self, claim: &mut Claim) -> Result<Option<Found>, Error> {
        if !self.want_value || self.spec.refuse.is_some() {
            return Ok(None);
        }
        claim.ask();
        // An error is ignored: if the store still fails, the next ACQUIRE reports it.
        match self.read().await {
            Ok(Some((found, _))) => Ok(Some(found)),
            Ok(None) | Err(_) => Ok(None),
        }
    }

    /// Sends one ACQUIRE and decides what follows.
    async fn try_once(&mut self, claim: &mut Claim, state: &mut TryState) -> Result<TryOutcome, Error> {
        let sent = Instant::now();
        let next = match self.send(claim, state).await {
            // A connection gave the reply to another request.
            Ok(Reply::Acquired(id)) if id.tag != claim.tag() => return Err(self.unexpected_reply()),
            // The reply took so long that a renewal is due. A second ACQUIRE grants a full lease. There is no third one,
            // because the network may always be this slow.
            Ok(Reply::Acquired(_)) if !state.was_late && sent.elapsed() > self.lease / 3 => {
                state.was_late = true;
                return Ok(TryOutcome::Retry);
            }
            Ok(Reply::Acquired(_)) if Instant::now() >= deadline(self.lease, sent) => {
                return Err(Error::LeaseLost { key: self.name() });
            }
            Ok(Reply::Acquired(id)) => {
                let sent = self.replicate(id).await?.unwrap_or(sent);
                return Ok(TryOutcome::Ended(Ended::Granted(id, sent)));
            }
            Ok(Reply::Hit(hit, _)) if self.want_value => {
                return Ok(self
                    .verified(hit)?
                    .map_or(TryOutcome::Retry, |found| TryOutcome::Ended(Ended::Found(found))));
            }
            Ok(Reply::Busy(existing)) => {
                if !self.is_own(&existing) {
                    let last = state.existing.as_ref().map(holder);
                    claim.saw_holder(last != Some(holder(&existing)));
                }
                let next = self.policy.busy(Instant::now(), &existing);
                state.existing = Some(existing);
                next
            }
            Ok(Reply::Computed) if self.spec.options.cached_if_computed => {
                return Ok(TryOutcome::Ended(Ended::Found(Found::NO_VALUE)));
            }
            Ok(reply) => return Err(self.reply_error(reply)),
            // The store may be available again before a call that was waiting times out.
            Err(error)
                if self.policy.has_seen_holder() && state.failures.may_pass(&error, Instant::now()) =>
            {
                self.policy.failed(Instant::now())
            }
            Err(error) => return Err(error),
        };
        match next {
            Next::Sleep(rest) => Ok(TryOutcome::Held(rest)),
            Next::TimedOut(waited) => Err(self.timed_out(waited, state.existing.as_ref())),
            Next::TakeOver(raw) => {
                state.stale = Some(raw);
                Ok(TryOutcome::Retry)
            }
        }
    }

    /// Sends an ACQUIRE. The claim is armed before it, and disarmed by a reply that is not a grant.
    async fn send(&self, claim: &mut Claim, state: &mut TryState) -> Result<Reply, Error> {
        let options = &self.spec.options;
        let request = Request::Acquire(Acquire {
            tag: claim.tag(),
            lease: millis(self.lease),
            max_block: millis(options.max_block_time),
            cached: options.cached_if_computed,
            fail_if_key_exists: options.fail_if_key_exists,
            seize: false,
            refuse: self.spec.refuse,
            stale: state.stale.take(),
            origin: origin(&self.spec.site),
            bound: self.pool.bound(),
        });
        // Armed before it looks: the end of the process aborts the claims that it finds after it has begun.
        let mut was_armed = claim.arm();
        while thread_end::is_ending() {
            if !was_armed {
                claim.disarm();
            }
            background::sleep(END_OF_PROCESS).await;
            was_armed = claim.arm();
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
        let sent = Instant::now();
        let request = Request::Renew(Renew {
            id,
            lease: millis(self.lease),
        });
        let renewal = self.pool.requests().send_replicated(&self.key, request, replicas);
        match Box::pin(renewal).await.map_err(as_acquire)? {
            Reply::Renewed if Instant::now() < deadline(self.lease, sent) => Ok(Some(sent)),
            _ => Err(Error::LeaseLost { key: self.name() }),
        }
    }

    fn end(self, mut claim: Claim, ended: Ended) -> Outcome {
        match ended {
            Ended::Granted(id, sent) => {
                let terms = Terms {
                    lease: self.lease,
                    ttl: self.spec.options.ttl,
                    max_block: self.spec.options.max_block_time,
                    keeps_mark: self.key.is_shared() || self.spec.options.fail_if_key_exists,
                    site: self.spec.site,
                };
                Outcome::Lead(Lease::start(claim, id, sent, terms))
            }
            Ended::Found(found) => {
                claim.complete(&found);
                Outcome::Hit(found, None)
            }
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
#[derive(Default)]
struct TryState {
    /// The bytes of a stale state, which the next ACQUIRE takes over.
    stale: Option<Bytes>,
    /// A grant has arrived too late once.
    was_late: bool,
    /// The last other holder.
    existing: Option<Existing>,
    /// The turn of this process is over.
    yields: bool,
    /// Each request subscribes to the next change.
    subscribes: bool,
    /// The next change, if the last request subscribed to it.
    change: Option<Change>,
    failures: Failures,
}

/// Outcome of one try.
enum TryOutcome {
    Ended(Ended),
    /// Try again at once.
    Retry,
    /// Another caller holds the key: try again after this time, or at the next change.
    Held(Duration),
}

/// Outcome of the last try.
enum Ended {
    /// The grant, and when the ACQUIRE or its renewal was sent.
    Granted(Id, Instant),
    Found(Found),
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

#[cfg(test)]
mod tests {
    use std::thread;

    use dspinlock_testkit::{Proxy, Redis, eventually};

    use crate::engine::{CallSpec, Outcome, acquire};
    use crate::key::{Format, Key};
    use crate::lease::Lease;
    use crate::options::{Options, Wait};
    use crate::pool::Pool;
    use crate::rt::blocking::wait;

    /// Waits without a limit.
    fn lock(pool: &Pool) -> Lease {
        let options = Options {
            wait: Some(Wait::Forever),
            ..Options::default()
        };
        let spec = CallSpec {
            key: Key::new(Format::Single, "dspinlock".into(), [1; 32]),
            site: "site".into(),
            options,
            near_cache: None,
            refuse: None,
            refusals: 0,
        };
        match wait(acquire(pool.clone(), Box::new(spec))) {
            Ok(Outcome::Lead(lease)) => lease,
            other => panic!("expected a lease, got {other:?}"),
        }
    }

    fn release(lease: Lease) {
        wait(lease.publish(None)).expect("the store replies");
    }

    /// Two pools of a process share no flights. At the end of its turn, a pool watches the key only if it has seen another
    /// process.
    #[test]
    fn a_holder_of_this_process_is_not_another_process() {
        for is_own in [true, false] {
            let server = Redis::start();
            let proxy = Proxy::start(server.port());
            let [other, pool] = [server.url(), proxy.url()].map(|url| Pool::open(&url).expect("a pool"));
            let held = lock(&other);
            if !is_own {
                let entry = format!("Btag-of-16-bytes_{:016}1,elsewhere,,,site\n", held.fence());
                server.raw(&["SET", &server.only_name(), &entry, "KEEPTTL"]);
            }
            thread::scope(|threads| {
                for _ in 0..12 {
                    threads.spawn(|| (0..3).for_each(|_| release(lock(&pool))));
                }
                eventually("a waiting call", || {
                    (proxy.requests("ACQUIRE") >= 2).then_some(())
                });
                let name = server.only_name();
                match is_own {
                    true => release(held),
                    false => drop(server.raw(&["UNLINK", &name])),
                }
            });
            let reads = proxy.requests("GETRANGE");
            assert_eq!(reads == 0, is_own, "{reads} reads");
        }
    }
}
