//! Decides the outcome of a call: hit (return a stored value), lead (compute), or follow (wait for another call).
//!
//! `lookup` joins the flight of the key and reads, `follow` waits for another call of this process, `acquire` acquires the
//! lock or waits for it, `wait` decides how long, `failures` which errors a waiting call outlasts, and `attempt` is the state
//! that they share. `trace` is the span of a call. `entry` works on a key without a call. The generic shell in `call` and the explicit API in `lock` call this module. It is not generic: sync and
//! async calls share it, and it knows no user types.

mod acquire;
mod attempt;
pub(crate) mod entry;
mod failures;
mod follow;
mod lookup;
mod trace;
mod wait;

use std::pin::pin;
use std::sync::Arc;

use tracing::Instrument;

use self::attempt::Attempt;
pub(crate) use self::attempt::{Alone, CallSpec, Outcome};
pub(crate) use self::lookup::{Joined, Lookup};
pub(crate) use self::trace::Trace;
use crate::error::{Error, KeyName};
use crate::lease::current::Frame;
use crate::lease::{Lease, Publication, PublishOutcome};
use crate::pool::Pool;
use crate::pool::flight::Found;
use crate::rt::background;
use crate::rt::clock::Instant;
pub(crate) use crate::store::Boxed;

/// What a call holds that computes: the lock or, if the store cannot be asked, its place in this process. Dropping it aborts the
/// lock. Boxed, because the future of a call contains it.
#[derive(Debug)]
pub(crate) struct Permit {
    right: Right,
    frame: Arc<Frame>,
    trace: Trace,
    /// When the body began.
    since: Instant,
}

#[derive(Debug)]
enum Right {
    Lease(Lease),
    Alone(Box<Alone>),
}

/// Runs a call of an annotated function, in its span. `joined` is what its [`Lookup`] has come to, if it had one.
pub(crate) fn enter(
    mut spec: Box<CallSpec>,
    joined: Option<Joined>,
) -> Boxed<Result<(Outcome, Trace), Error>> {
    Box::pin(async move {
        let since = Instant::now();
        let pool = spec.pool.take();
        let pool = match spec.runs_unlocked {
            true => Pool::of_unlocked_call(pool).await?,
            false => Pool::of_call(pool).await?,
        };
        let attempt = Attempt::new(pool, spec, true)?;
        let trace = Trace::open(since, &attempt.spec.caller.site, &attempt.key);
        // Awaited in place: a variable would take the size of the future once more.
        let entered = follow::run(attempt, joined)
            .instrument(trace.span().clone())
            .await;
        Ok((entered?, trace))
    })
}

/// Waits for the result of the call that holds the key, without asking for the lock.
pub(crate) fn witness(mut spec: Box<CallSpec>) -> Boxed<Result<Found, Error>> {
    Box::pin(async move {
        let pool = Pool::of_call(spec.pool.take()).await?;
        let site = spec.caller.site.clone();
        let witnessed = pin!(background::run(Attempt::new(pool.clone(), spec, true)?.witness()));
        let witnessed = pool.closing().or_closed(witnessed).await;
        witnessed.map_err(|error| error.at(&site))
    })
}

/// Runs a call of the explicit API, which wants no value.
pub(crate) async fn acquire(mut spec: Box<CallSpec>) -> Result<Outcome, Error> {
    let pool = Pool::of_call(spec.pool.take()).await?;
    follow::run(Attempt::new(pool, spec, false)?, None).await
}

impl Permit {
    /// The permit of a call that was polled in the current frame.
    pub(crate) fn new(lease: Lease, trace: Trace) -> Box<Self> {
        let frame = Frame::new(lease.held().clone());
        Self::boxed(Right::Lease(lease), frame, trace)
    }

    fn boxed(right: Right, frame: Arc<Frame>, trace: Trace) -> Box<Self> {
        let since = Instant::now();
        Box::new(Self {
            right,
            frame,
            trace,
            since,
        })
    }

    pub(crate) fn alone(mut alone: Alone, trace: Trace) -> Box<Self> {
        if let Some(leader) = &mut alone.leader {
            leader.begin_computing();
        }
        let frame = Frame::without_lease(&alone.pool, &alone.key);
        Self::boxed(Right::Alone(Box::new(alone)), frame, trace)
    }

    /// The frame of the call of a detached body replaces that of the body that made the call.
    pub(crate) fn called_by(&mut self, call: &Arc<Frame>) {
        self.frame = self.frame.called_by(&Arc::downgrade(call));
    }

    /// Polls or runs `body`, with the lease as `dspinlock::current()`, in the span of the call.
    pub(crate) fn scope<T>(&self, body: impl FnOnce() -> T) -> T {
        self.trace.span().in_scope(|| self.frame.enter(body))
    }

    pub(crate) fn trace(&self) -> &Trace {
        &self.trace
    }

    /// When the body began.
    pub(crate) fn since(&self) -> Instant {
        self.since
    }

    /// Publishes a result, or releases the lock if it is not kept. If that fails it logs a warning, because the caller has its
    /// result. Without the lock, only the followers of the call receive the result.
    pub(crate) fn publish(self, publication: Publication) -> Boxed<Result<(), Error>> {
        let span = self.trace.span().clone();
        let published = async move {
            match self.right {
                Right::Lease(lease) => publish(lease, publication).await,
                Right::Alone(alone) => alone.complete(publication),
            }
            Ok(())
        };
        Box::pin(published.instrument(span))
    }

    /// The greatest size of an encoded result.
    pub(crate) fn max_value_size(&self) -> usize {
        match &self.right {
            Right::Lease(lease) => lease.held().max_value_size(),
            Right::Alone(alone) => alone.pool.max_value_size(),
        }
    }

    /// Aborts the lock and waits for the reply, so that the caller may retry or exit at once.
    pub(crate) fn abort(self) -> Boxed<Result<(), Error>> {
        Box::pin(async move {
            if let Right::Lease(lease) = self.right {
                lease.abort().await;
            }
            Ok(())
        })
    }

    pub(crate) fn has_lease(&self) -> bool {
        matches!(self.right, Right::Lease(_))
    }

    /// The fence of the lease. `None` without one.
    pub(crate) fn fence(&self) -> Option<u64> {
        match &self.right {
            Right::Lease(lease) => Some(lease.fence()),
            Right::Alone(_) => None,
        }
    }

    /// Resolves when the lease is lost. `None` without a lease.
    pub(crate) fn loss(&self) -> Option<impl Future<Output = ()> + use<>> {
        match &self.right {
            Right::Lease(lease) => {
                let held = lease.held().clone();
                Some(async move { held.lost().await })
            }
            Right::Alone(_) => None,
        }
    }

    pub(crate) fn key(&self) -> KeyName {
        match &self.right {
            Right::Lease(lease) => lease.held().name(),
            Right::Alone(alone) => alone.name.clone(),
        }
    }

    /// The first digits of the key, for traces.
    pub(crate) fn key_digits(&self) -> String {
        match &self.right {
            Right::Lease(lease) => lease.held().key.digits(),
            Right::Alone(alone) => alone.key.digits(),
        }
    }
}

async fn publish(lease: Lease, publication: Publication) {
    let held = lease.held().clone();
    match lease.publish(publication).await {
        Ok(PublishOutcome::Published) => {}
        Ok(PublishOutcome::AlreadyLost | PublishOutcome::Lost) => {
            tracing::warn!(target: "dspinlock", "the result of {} was not published: its lease was lost while the function ran; raise `lease` if that happens often", held.name());
        }
        Err(error) => {
            tracing::warn!(target: "dspinlock", "the result of {} was not published: {error}", held.name());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use dspinlock_testkit::{Proxy, Redis, eventually};

    use super::*;
    use crate::key::{Format, Key};
    use crate::lease::held::Caller;
    use crate::options::{Options, Wait};
    use crate::rt::blocking::wait;

    /// Waits without a limit.
    fn lock(pool: &Pool) -> Lease {
        let options = Options {
            wait: Some(Wait::Forever),
            ..Options::default()
        };
        let key = Key::new(Format::Single, "dspinlock".into(), [1; 32]);
        let spec = CallSpec::new(key, Caller::new("site"), options, Some(pool.clone()));
        match wait(acquire(Box::new(spec))) {
            Ok(Outcome::Lead(lease)) => lease,
            other => panic!("expected a lease, got {other:?}"),
        }
    }

    fn release(lease: Lease) {
        wait(lease.publish(Publication::of(None))).expect("the store replies");
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
