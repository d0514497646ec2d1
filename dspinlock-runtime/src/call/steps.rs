//! The steps that sync and async calls share: what follows from the engine's outcome, and from the body's return value.
//!
//! `call` and `future` call them in order. No step waits or blocks.

use std::any::type_name;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use bytes::Bytes;

use super::entry::Entry;
use super::keeping::{Keep, Ttl};
use super::order::{Entering, Order};
use super::policy::{LockError, OnBusy, ReturnType, Rules};
use super::storable::{Disposition, NearCacheable, Storable};
use super::{ended, unreadable, unstored};
use crate::codec::Undecodable;
use crate::engine::{Boxed, CallSpec, Outcome, Permit, Trace};
use crate::error::{Error, KeyName};
use crate::lease::{Kept, Publication};
use crate::pool::flight::Found;
use crate::protocol::header::Flag;
use crate::rt::background;
use crate::rt::in_flight::InFlight;
use crate::scope::How;

/// The steps of one call, for its return type `R`, its error policy `P` and its rules `K` on how long results are kept.
pub(super) struct Steps<R, P, K = ()> {
    policy: P,
    pub(super) keep: K,
    rules: Rules<R, P>,
}

/// How long an error that is not kept stays for the calls that have waited for it. A waiter looks again after a push, a pause of
/// at most 50 ms, or `spinlock_sleep_thresh`.
const FOR_WAITERS: Duration = Duration::from_secs(2);

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

impl<R, P> Steps<R, P> {
    pub(super) fn new<Storage, B>(policy: P) -> Self
    where
        R: ReturnType<P, Value: Storable<Storage> + NearCacheable<Storage>, Error: LockError<P>> + OnBusy<B>,
    {
        Self {
            policy,
            keep: (),
            rules: Rules::new::<Storage, B>(),
        }
    }

    /// The same steps with other rules on how long results are kept.
    pub(super) fn with<K>(self, keep: K) -> Steps<R, P, K> {
        Steps {
            policy: self.policy,
            keep,
            rules: self.rules,
        }
    }
}

impl<R, P: Clone, K: Clone> Clone for Steps<R, P, K> {
    fn clone(&self) -> Self {
        Self {
            policy: self.policy.clone(),
            keep: self.keep.clone(),
            rules: self.rules,
        }
    }
}

impl<R, P, K: Keep<R>> Steps<R, P, K> {
    /// The entry of a call with these rules.
    pub(super) fn entry(&self, spec: Result<Box<CallSpec>, Error>) -> Entry<R> {
        Entry::of_spec(
            spec,
            self.rules.encode,
            self.rules.decode,
            self.keep.keeping().cloned(),
        )
    }

    /// Before the engine: reads the near cache.
    pub(super) fn near_hit(&self, entering: &Entering) -> Option<R> {
        match entering.order.near_hit(self.rules.from_entry, ended::near)? {
            Ok(outcome) => Some(outcome),
            Err(error) => self.on_error(&entering.order, error),
        }
    }

    /// After the engine's outcome.
    pub(super) fn entered(
        &self,
        entering: &mut Entering,
        entered: Result<(Outcome, Trace), Error>,
    ) -> Decision<R> {
        let decision = self.decide(entering, entered);
        #[cfg(feature = "testing")]
        if let Decision::RunBody(_) = &decision {
            entering.count_body();
        }
        decision
    }

    fn decide(&self, entering: &mut Entering, entered: Result<(Outcome, Trace), Error>) -> Decision<R> {
        let (outcome, trace) = match entered {
            Ok(entered) => entered,
            Err(error) => {
                return match self.on_error(&entering.order, error) {
                    Some(outcome) => Decision::Return(outcome),
                    None => Decision::RunBody(None),
                };
            }
        };
        let (how, found, placeholder) = match outcome {
            Outcome::Lead(lease) => return Decision::RunBody(Some(Permit::new(lease, trace))),
            Outcome::Alone(alone) => return Decision::RunBody(Some(Permit::alone(alone, trace))),
            Outcome::Hit(found, placeholder) => (How::Hit, found, placeholder),
            Outcome::Followed(found) => (How::Followed, found, None),
        };
        match self.decode(&found) {
            Ok(outcome) => {
                ended::found(&entering.order, &trace, how, &found);
                // The copy is made only if the near cache takes it.
                if let Some(placeholder) = placeholder
                    && let Some(copy) = (self.rules.to_entry)(&outcome)
                    && let Some(entry) = entering.order.near_value(copy)
                {
                    placeholder.fill(entry);
                }
                Decision::Return(outcome)
            }
            Err(reason) => {
                // The leader of a flight may record errors that this site does not.
                if found.flag == Flag::Value {
                    unreadable::warn(&entering.site(), type_name::<R>(), reason);
                }
                entering.refuse(found.tag());
                Decision::Retry
            }
        }
    }

    fn decode(&self, found: &Found) -> Result<R, Undecodable> {
        match found.flag {
            Flag::Value => (self.rules.decode)(&found.payload),
            Flag::Error | Flag::ErrorForWaiters => {
                let errors = self.keep.keeping().and_then(|keeping| keeping.errors.as_ref());
                errors.map_or(Err(Undecodable::OtherType), |errors| {
                    (errors.decode)(&found.payload)
                })
            }
        }
    }

    /// After the body: the publish or the abort, if there is a lock.
    pub(super) fn settle(&self, permit: Option<Box<Permit>>, outcome: &R) -> Option<Settling> {
        // A subscriber or a recorder of the program may panic. The body has run, so its result is still published.
        let reported = catch_unwind(AssertUnwindSafe(|| ended::computed(permit.as_deref())));
        let settling = permit.map(|permit| match self.publication(&permit, outcome) {
            Some(publication) => InFlight::new(permit.publish(publication)),
            None => InFlight::new(permit.abort()),
        });
        if let Err(panic) = reported {
            background::spawn(async move {
                if let Some(settling) = settling {
                    let _ = settling.await;
                }
            });
            resume_unwind(panic);
        }
        settling
    }

    /// What becomes of a result. `None`: of an error that is not recorded.
    fn publication(&self, permit: &Permit, outcome: &R) -> Option<Publication> {
        let keeping = self.keep.keeping();
        let payload = match (self.rules.encode)(outcome) {
            Disposition::Abort => return self.recorded(permit, outcome),
            Disposition::Publish(payload) => payload,
            Disposition::Unencodable(reason) => {
                let reason = format!("{reason}; change the type, or remove `cached_if_computed`");
                unstored::warn(&permit.key(), &reason);
                None
            }
        };
        let payload = self.within_limit(permit, payload);
        // A debug build tries each value at once, so that the tests of a program show the warning.
        if cfg!(debug_assertions)
            && let Some(bytes) = &payload
            && let Err(reason) = (self.rules.decode)(bytes)
        {
            unreadable::warn(permit.key().site(), type_name::<R>(), reason);
        }
        let rule = keeping.and_then(|keeping| keeping.ttl.as_ref());
        Some(Publication {
            kept: match rule.and_then(|rule| rule.ttl(outcome)) {
                None => Kept::ForTtl,
                Some(Ttl::For(ttl)) => Kept::For(ttl),
                Some(Ttl::Nothing) => Kept::Nothing,
            },
            ..Publication::of(payload.map(Bytes::from))
        })
    }

    /// `None` for a result that is too large.
    fn within_limit(&self, permit: &Permit, payload: Option<Vec<u8>>) -> Option<Vec<u8>> {
        let (size, limit) = (payload.as_ref()?.len(), permit.max_value_size());
        if size > limit {
            let reason = format!(
                "its encoding has {size} bytes, but `max_value_size` is {limit}; raise the limit with `Pool::builder`"
            );
            unstored::warn(&permit.key(), &reason);
            return None;
        }
        payload
    }

    /// What becomes of an error; `None` if it is not recorded.
    fn recorded(&self, permit: &Permit, outcome: &R) -> Option<Publication> {
        let errors = self.keep.keeping()?.errors.as_ref()?;
        let (payload, ttl) = errors.record(outcome)?;
        let payload = match payload {
            Ok(payload) => Some(payload),
            Err(reason) => {
                let reason = format!("{reason}; change the error type, or remove `err_ttl`");
                unstored::warn(&permit.key(), &reason);
                None
            }
        };
        let (flag, kept) = match ttl {
            Ttl::For(ttl) => (Flag::Error, ttl),
            Ttl::Nothing => (Flag::ErrorForWaiters, FOR_WAITERS),
        };
        let payload = self.within_limit(permit, payload)?;
        Some(Publication {
            payload: Some(payload.into()),
            flag,
            kept: Kept::For(kept),
        })
    }

    /// The return value of a lock error of a call whose body was stopped, and cannot run again without the lock.
    ///
    /// # Panics
    ///
    /// Panics if `on_error = run_unlocked` would run it.
    pub(super) fn fail(&self, order: &Order, error: Error) -> R {
        let message = error.to_string();
        self.on_error(order, error).unwrap_or_else(|| panic!("{message}"))
    }

    /// After the body was cancelled: the result of the new holder, or the lock error.
    pub(super) fn witnessed(&self, order: &Order, witnessed: Result<(Found, KeyName, Trace), Error>) -> R {
        let error = match witnessed {
            Ok((found, key, trace)) => match self.decode(&found) {
                Ok(outcome) => {
                    ended::found(order, &trace, How::Followed, &found);
                    return outcome;
                }
                Err(_) => Error::LeaseLost { key },
            },
            Err(error) => error,
        };
        self.fail(order, error)
    }

    pub(super) fn on_error(&self, order: &Order, error: Error) -> Option<R> {
        (self.rules.on_error)(&self.policy, error, &|fate| {
            ended::without_value(fate, || order.site_name())
        })
    }
}
