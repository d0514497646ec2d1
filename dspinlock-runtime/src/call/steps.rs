//! The steps that sync and async calls share: what follows from the engine's outcome, and from the body's return value.
//!
//! `call` and `future` call them in order. No step waits or blocks.

use std::any::type_name;

use bytes::Bytes;

use super::order::Entering;
use super::policy::{LockError, ReturnType, Rules};
use super::storable::{Disposition, NearCacheable, Storable};
use super::unreadable;
use crate::engine::{Boxed, Outcome, Permit};
use crate::error::Error;
use crate::rt::in_flight::InFlight;

/// The steps of one call, for its return type `R` and its error policy `P`.
pub(super) struct Steps<R, P> {
    policy: P,
    rules: Rules<R, P>,
}

/// What follows from the engine's outcome.
pub(super) enum Decision<R> {
    /// Enter the engine again.
    Retry,
    /// Run the body, with a permit, or without one because of `on_error = run_unlocked`.
    RunBody(Option<Box<Permit>>),
    /// Return a stored value, or a lock error.
    Return(R),
}

/// The publish or the abort of a lock.
pub(super) type Settling = InFlight<Boxed<Result<(), Error>>>;

/// What follows from the body's return value.
pub(super) enum Settled<R> {
    Return(R),
    /// Wait until the lock is published or aborted, then return.
    Wait(Settling, R),
}

impl<R, P> Steps<R, P> {
    pub(super) fn new<Storage>(policy: P) -> Self
    where
        R: ReturnType<P, Value: Storable<Storage> + NearCacheable<Storage>, Error: LockError<P>>,
    {
        Self {
            policy,
            rules: Rules::new::<Storage>(),
        }
    }

    /// Before the engine: reads the near cache.
    pub(super) fn near_hit(&self, entering: &Entering) -> Option<R> {
        entering.order.near_hit(self.rules.from_entry)
    }

    /// After the engine's outcome.
    pub(super) fn entered(&self, entering: &mut Entering, entered: Result<Outcome, Error>) -> Decision<R> {
        match entered {
            Ok(Outcome::Lead(lease)) => Decision::RunBody(Some(Permit::new(lease))),
            Ok(Outcome::Hit(found, placeholder)) => match (self.rules.decode)(&found.payload) {
                Ok(outcome) => {
                    if let Some((placeholder, entry)) = placeholder.zip((self.rules.to_entry)(&outcome)) {
                        placeholder.fill(entry);
                    }
                    Decision::Return(outcome)
                }
                Err(reason) => {
                    unreadable::warn(&entering.site(), type_name::<R>(), reason);
                    entering.refuse(found.tag);
                    Decision::Retry
                }
            },
            Err(error) => match self.on_error(error) {
                Some(outcome) => Decision::Return(outcome),
                None => Decision::RunBody(None),
            },
        }
    }

    /// After the body.
    pub(super) fn settle(&self, permit: Option<Box<Permit>>, outcome: R) -> Settled<R> {
        let Some(permit) = permit else {
            return Settled::Return(outcome);
        };
        match (self.rules.encode)(&outcome) {
            Disposition::Abort => Settled::Wait(InFlight::new(permit.abort()), outcome),
            Disposition::Publish(bytes) => {
                // A debug build tries each value at once, so that the tests of a program show the warning.
                if cfg!(debug_assertions)
                    && let Some(bytes) = &bytes
                    && let Err(reason) = (self.rules.decode)(bytes)
                {
                    unreadable::warn(permit.key().site(), type_name::<R>(), reason);
                }
                let settling = permit.publish(bytes.map(Bytes::from));
                Settled::Wait(InFlight::new(settling), outcome)
            }
            Disposition::Unencodable(reason) => {
                let (key, reason) = (permit.key(), reason.to_string());
                Settled::Return(self.finish(Err(Error::Codec { key, reason }), outcome))
            }
        }
    }

    /// After the lock is published or aborted.
    pub(super) fn finish(&self, settled: Result<(), Error>, outcome: R) -> R {
        match settled {
            // A forked child has the value, and its parent publishes it.
            Ok(()) | Err(Error::Forked) => outcome,
            Err(error) => self.on_error(error).unwrap_or(outcome),
        }
    }

    fn on_error(&self, error: Error) -> Option<R> {
        (self.rules.on_error)(&self.policy, error)
    }
}
