//! What happens to the results of one function: which are stored, and what a lock error becomes.
//!
//! The shim asks for one bound, [`Outcome`], at the return type. The other steps use the plain function pointers of
//! [`Rules`], so a function that violates the bound gets one compiler error, at its return type.

use std::any::Any;
use std::marker::PhantomData;

use super::shape::{Fallible, Plain};
use super::storable::{Disposition, NearCacheable, Storable};
use crate::error::Error;
use crate::pool::near_cache::AnyValue;

/// The rules for the return values `R` of one function under the error policy `P`.
pub struct Rules<R, P> {
    /// Encodes a return value, and says what to do with it.
    pub(super) encode: fn(&R) -> Disposition,
    /// The return value of stored bytes; `None` if they cannot be decoded.
    pub(super) decode: fn(&[u8]) -> Option<R>,
    /// A copy for the near cache, if the function has one.
    pub(super) to_entry: fn(&R) -> Option<AnyValue>,
    /// The return value of an entry of the near cache; `None` if it is of another type.
    pub(super) from_entry: fn(&(dyn Any + Send + Sync)) -> Option<R>,
    /// The return value of a lock error; `None`: run the body without the lock.
    pub(super) on_error: fn(&P, Error) -> Option<R>,
}

/// The only bound of a shim. The traits behind it have the compiler messages.
pub trait Outcome<Storage, Policy>: Sized {
    /// The rules for return values.
    const RULES: Rules<Self, Policy>;
}

impl<R, Storage, Policy: ErrorPolicy<R, Storage>> Outcome<Storage, Policy> for R {
    const RULES: Rules<R, Policy> = Policy::RULES;
}

/// What a lock error becomes in a function that returns `R`. `Storage` says which values are stored.
#[diagnostic::on_unimplemented(
    message = "`{R}` cannot return a lock error",
    label = "this return type has no error",
    note = "return a `Result` whose error type implements `From<dspinlock::Error>`, or set `on_error = run_unlocked` or `on_error = panic`"
)]
pub trait ErrorPolicy<R, Storage>: Sized {
    /// The rules for return values.
    const RULES: Rules<R, Self>;
}

impl<T, E: FromLockError, S: Storable<T> + NearCacheable<T>> ErrorPolicy<Result<T, E>, S> for ByFrom {
    const RULES: Rules<Result<T, E>, Self> = Rules {
        encode: encode::<S, T, E>,
        decode: decode::<S, T, E>,
        to_entry: to_entry::<S, T, E>,
        from_entry: from_entry::<S, T, E>,
        on_error: |_, error| Some(Err(E::from_lock_error(error))),
    };
}

impl<T, E, M: BecomesError<E>, S: Storable<T> + NearCacheable<T>> ErrorPolicy<Result<T, E>, S> for MapErr<M> {
    const RULES: Rules<Result<T, E>, Self> = Rules {
        encode: encode::<S, T, E>,
        decode: decode::<S, T, E>,
        to_entry: to_entry::<S, T, E>,
        from_entry: from_entry::<S, T, E>,
        on_error: |MapErr(map), error| Some(Err(map(error).become_error())),
    };
}

impl<T, E, S: Storable<T> + NearCacheable<T>> ErrorPolicy<Result<T, E>, S> for OnError<Fallible> {
    const RULES: Rules<Result<T, E>, Self> = Rules {
        encode: encode::<S, T, E>,
        decode: decode::<S, T, E>,
        to_entry: to_entry::<S, T, E>,
        from_entry: from_entry::<S, T, E>,
        on_error: OnError::handle,
    };
}

impl<T, S: Storable<T> + NearCacheable<T>> ErrorPolicy<T, S> for OnError<Plain> {
    const RULES: Rules<T, Self> = Rules {
        encode: S::encode,
        decode: S::decode,
        to_entry: S::to_entry,
        from_entry: S::from_entry,
        on_error: OnError::handle,
    };
}

fn encode<S: Storable<T>, T, E>(outcome: &Result<T, E>) -> Disposition {
    match outcome {
        Ok(value) => S::encode(value),
        Err(_) => Disposition::Abort,
    }
}

fn decode<S: Storable<T>, T, E>(bytes: &[u8]) -> Option<Result<T, E>> {
    S::decode(bytes).map(Ok)
}

fn to_entry<S: NearCacheable<T>, T, E>(outcome: &Result<T, E>) -> Option<AnyValue> {
    S::to_entry(outcome.as_ref().ok()?)
}

fn from_entry<S: NearCacheable<T>, T, E>(entry: &(dyn Any + Send + Sync)) -> Option<Result<T, E>> {
    S::from_entry(entry).map(Ok)
}

/// The default: a lock error becomes the function's error by `From`.
pub struct ByFrom;

/// An error type that a lock error can be converted into.
#[diagnostic::on_unimplemented(
    message = "a lock error cannot be converted to `{Self}`",
    label = "the error type of this function does not implement `From<dspinlock::Error>`",
    note = "implement `From<dspinlock::Error>` for it, convert with `map_err = path`, or set `on_error = run_unlocked` or `on_error = panic`"
)]
pub trait FromLockError {
    /// Converts a lock error.
    fn from_lock_error(error: Error) -> Self;
}

#[diagnostic::do_not_recommend]
impl<E: From<Error>> FromLockError for E {
    fn from_lock_error(error: Error) -> Self {
        Self::from(error)
    }
}

/// `map_err = path`.
pub struct MapErr<M>(pub(super) fn(Error) -> M);

/// The return type of `map_err` is the error of the function. A separate trait, for its compiler message.
#[diagnostic::on_unimplemented(
    message = "`map_err` returns `{Self}`, but the error type of the function is `{E}`",
    label = "the error type of this function is `{E}`",
    note = "`map_err` needs a function from `dspinlock::Error` to `{E}`"
)]
pub trait BecomesError<E> {
    /// The identity.
    fn become_error(self) -> E;
}

#[diagnostic::do_not_recommend]
impl<E> BecomesError<E> for E {
    fn become_error(self) -> E {
        self
    }
}

/// `on_error = run_unlocked` or `on_error = panic`.
pub struct OnError<Kind> {
    panics: bool,
    kind: PhantomData<Kind>,
}

impl<Kind> OnError<Kind> {
    pub(super) fn new(panics: bool) -> Self {
        Self {
            panics,
            kind: PhantomData,
        }
    }

    fn handle<R>(&self, error: Error) -> Option<R> {
        report(self.panics, &error);
        None
    }
}

// Not generic: compiled once.
fn report(panics: bool, error: &Error) {
    if panics {
        panic!("{error}");
    }
    match error {
        // The function has run, under the lock.
        Error::Codec { .. } | Error::ValueTooLarge { .. } => log::warn!(target: "dspinlock", "{error}"),
        error => log::warn!(target: "dspinlock", "running the function without the lock: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;
    use serde::de::DeserializeOwned;

    use super::super::shape::Shape;
    use super::super::storable::Cached;
    use super::*;

    /// As in the shim for `on_error`: it names the type, and method resolution finds its kind.
    macro_rules! disposition {
        ($ty:ty, $outcome:expr) => {{
            fn rules<S, R: Outcome<S, OnError<Kind>>, Kind>(_: Kind, _: S) -> Rules<R, OnError<Kind>> {
                R::RULES
            }
            (rules::<_, $ty, _>(Shape::<$ty>::new().kind(), Cached).encode)(&$outcome)
        }};
    }

    #[test]
    fn err_is_never_stored_and_every_other_result_is() {
        type Alias<T> = std::result::Result<T, ()>;
        fn generic<T: Serialize + DeserializeOwned>(value: T) -> Disposition {
            disposition!(T, value)
        }
        assert!(matches!(
            disposition!(Result<u8, ()>, Ok(1)),
            Disposition::Publish(Some(_))
        ));
        assert!(matches!(
            disposition!(Result<u8, ()>, Err(())),
            Disposition::Abort
        ));
        assert!(matches!(disposition!(Alias<u8>, Err(())), Disposition::Abort));
        assert!(matches!(
            disposition!(Option<u8>, None),
            Disposition::Publish(Some(_))
        ));
        assert!(matches!(disposition!((), ()), Disposition::Publish(Some(_))));
        // A bare type parameter is plain, even if it stands for a `Result`.
        assert!(matches!(generic(Err::<u8, u8>(1)), Disposition::Publish(Some(_))));
    }
}
