//! Decides the outcome of a call: hit (return a stored value), lead (compute), or follow (wait for another call).
//!
//! `follow` reads the value or follows another call of this process, `acquire` acquires the lock or waits for it, `wait`
//! decides how long, `failures` which errors a waiting call outlasts, and `attempt` is the state that they share. The generic shell in `call` and the explicit API in
//! `lock` call this module. It is not generic: sync and async calls share it, and it knows no user types.

mod acquire;
mod attempt;
mod failures;
mod follow;
mod wait;

use std::sync::Arc;

use bytes::Bytes;

pub(crate) use self::attempt::CallSpec;
use self::attempt::{Attempt, AttemptOutcome};
use crate::error::{Error, KeyName};
use crate::lease::current::Frame;
use crate::lease::{Lease, PublishOutcome};
use crate::pool::Pool;
use crate::pool::flight::Found;
use crate::pool::near_cache::Placeholder;
use crate::protocol::tag::Tag;
pub(crate) use crate::store::Boxed;

/// Outcome of [`enter`].
#[derive(Debug)]
pub(crate) enum Entered {
    /// A stored value. If it cannot be decoded, the call enters again with the same specification.
    Hit {
        payload: Bytes,
        /// The tag under which the value was published; `None` for a shared key, which keeps no value.
        tag: Option<Tag>,
        placeholder: Option<Placeholder>,
        spec: Box<CallSpec>,
    },
    /// The lock is held: the call runs its body. Boxed, because the future of a call contains it.
    Lead(Box<Permit>),
}

/// A held lock, for the call that computes. Dropping it aborts the lock.
#[derive(Debug)]
pub(crate) struct Permit {
    lease: Lease,
    frame: Arc<Frame>,
    max_value_size: usize,
}

/// Reads the value, waits for another call's result, or acquires the lock, in the global pool.
pub(crate) fn enter(spec: Box<CallSpec>) -> Boxed<Result<Entered, Error>> {
    Box::pin(async move {
        let pool = Pool::global().await?.clone();
        let max_value_size = pool.max_value_size();
        let parent = Frame::current();
        match follow::run(Attempt::new(pool, spec, true)?).await? {
            AttemptOutcome::Lease(lease) => {
                let frame = Frame::new(parent, lease.held().clone());
                Ok(Entered::Lead(Box::new(Permit {
                    lease,
                    frame,
                    max_value_size,
                })))
            }
            AttemptOutcome::Found(Found { payload, tag }, placeholder, spec) => Ok(Entered::Hit {
                payload,
                tag,
                placeholder,
                spec,
            }),
        }
    })
}

/// Acquires the lock of `pool` for the explicit API. `None`: the key is computed.
pub(crate) async fn acquire(pool: Pool, spec: Box<CallSpec>) -> Result<Option<Lease>, Error> {
    match follow::run(Attempt::new(pool, spec, false)?).await? {
        AttemptOutcome::Lease(lease) => Ok(Some(lease)),
        AttemptOutcome::Found(..) => Ok(None),
    }
}

impl Permit {
    /// Polls or runs `body` with this lease as `dspinlock::current()`.
    pub(crate) fn scope<T>(&self, body: impl FnOnce() -> T) -> T {
        self.frame.enter(body)
    }

    /// Publishes COMPUTED, with the value if there is one. If the lease is lost or the store fails, it logs a warning and
    /// succeeds, because the caller has its value.
    ///
    /// # Errors
    ///
    /// [`Error::ValueTooLarge`]; the lock is then aborted.
    pub(crate) fn publish(self, payload: Option<Bytes>) -> Boxed<Result<(), Error>> {
        Box::pin(async move {
            let held = self.lease.held().clone();
            let (size, limit) = (payload.as_ref().map_or(0, Bytes::len), self.max_value_size);
            if size > limit {
                let key = held.name();
                return Err(Error::ValueTooLarge { key, size, limit });
            }
            match self.lease.publish(payload).await {
                Ok(PublishOutcome::Published) => {}
                Ok(PublishOutcome::AlreadyLost | PublishOutcome::Lost) => {
                    log::warn!(target: "dspinlock", "the value of {} was not stored: its lease was lost while the function ran; raise `lease` if that happens often", held.name());
                }
                Err(error) => {
                    log::warn!(target: "dspinlock", "the value of {} was not stored: {error}", held.name());
                }
            }
            Ok(())
        })
    }

    /// Aborts the lock and waits for the reply, so that the caller may retry or exit at once.
    pub(crate) fn abort(self) -> Boxed<Result<(), Error>> {
        Box::pin(async move {
            self.lease.abort().await;
            Ok(())
        })
    }

    pub(crate) fn key(&self) -> KeyName {
        self.lease.held().name()
    }
}
