//! What happens to the results of one function: which are stored, and what a lock error becomes.
//!
//! The bounds of the shim's step `returning` are all here and in `storable`. Each is a separate bound on a type of the user,
//! so that the compiler explains a broken one without the others. The other steps use the plain function pointers of
//! [`Rules`].

use std::any::Any;
use std::convert::Infallible;
use std::marker::PhantomData;

use super::shape::{Fallible, Plain};
use super::storable::{Disposition, NearCacheable, Storable};
use crate::codec::Undecodable;
use crate::error::Error;
use crate::pool::near_cache::AnyValue;

/// The rules for the return values `R` of one function under the error policy `P`.
pub(super) struct Rules<R, P> {
    /// Encodes a return value, and says what to do with it.
    pub(super) encode: fn(&R) -> Disposition,
    /// The return value of stored bytes.
    pub(super) decode: fn(&[u8]) -> Result<R, Undecodable>,
    /// A copy for the near cache, if the function has one.
    pub(super) to_entry: fn(&R) -> Option<AnyValue>,
    /// The return value of an entry of the near cache; `None` if it is of another type.
    pub(super) from_entry: fn(&(dyn Any + Send + Sync)) -> Option<R>,
    /// The return value of a lock error; `None`: run the body without the lock. The function is told first what the call
    /// becomes, because the user's conversion may panic.
    pub(super) on_error: OnLockError<R, P>,
}

type OnLockError<R, P> = fn(&P, Error, &dyn Fn(Fate)) -> Option<R>;

/// What a call becomes that has met an error of the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// `on_busy = skip`.
    Skipped,
    /// It returns the error, panics, or runs the body without the lock.
    Failed,
}

impl<R, P> Clone for Rules<R, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R, P> Copy for Rules<R, P> {}

impl<R, P> Rules<R, P> {
    pub(super) const fn new<S, B>() -> Self
    where
        R: ReturnType<P, Value: Storable<S> + NearCacheable<S>, Error: LockError<P>> + OnBusy<B>,
    {
        Self {
            encode: |outcome| match outcome.value() {
                Some(value) => value.encode(),
                None => Disposition::Abort,
            },
            decode: |bytes| R::Value::decode(bytes).map(R::from_value),
            to_entry: |outcome| outcome.value()?.to_entry(),
            from_entry: |entry| R::Value::from_entry(entry).map(R::from_value),
            on_error: |policy, error, tell| match R::nothing().filter(|_| error.is_busy()) {
                Some(nothing) => {
                    tell(Fate::Skipped);
                    Some(nothing)
                }
                None => {
                    tell(Fate::Failed);
                    R::Error::from_lock_error(policy, error).map(R::from_error)
                }
            },
        }
    }
}

/// The return type of a function, under the error policy `P`: its value, and the error that a lock error becomes.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot return a lock error",
    label = "this return type has no error",
    note = "return a `Result` whose error type implements `From<dspinlock::Error>`, or set `on_error = run_unlocked` or `on_error = panic`"
)]
pub trait ReturnType<P> {
    /// What may be stored.
    type Value;
    /// What a lock error becomes.
    type Error;
    /// `None` for an `Err`.
    #[doc(hidden)]
    fn value(&self) -> Option<&Self::Value>;
    #[doc(hidden)]
    fn from_value(value: Self::Value) -> Self;
    #[doc(hidden)]
    fn from_error(error: Self::Error) -> Self;
}

/// What a function of `entry = ...` returns if an expression of the attribute has a `?`: the entry in a `Result` or in an `Option`,
/// as the return type of the annotated function.
#[diagnostic::on_unimplemented(
    message = "`?` in an argument of the attribute needs a function that returns a `Result` or an `Option`",
    label = "this is neither of them",
    note = "handle the failure in the expression, or change the return type"
)]
pub trait Tries {
    /// The same type around another value.
    type Of<T>;
    #[doc(hidden)]
    fn of<T>(value: T) -> Self::Of<T>;
}

#[diagnostic::do_not_recommend]
impl<V, E> Tries for Result<V, E> {
    type Of<T> = Result<T, E>;

    fn of<T>(value: T) -> Result<T, E> {
        Ok(value)
    }
}

#[diagnostic::do_not_recommend]
impl<V> Tries for Option<V> {
    type Of<T> = Option<T>;

    fn of<T>(value: T) -> Option<T> {
        Some(value)
    }
}

/// A policy under which `Err` is not stored.
pub trait Fails {}

impl Fails for ByFrom {}
impl<M> Fails for MapErr<M> {}
impl Fails for OnError<Fallible> {}

#[diagnostic::do_not_recommend]
impl<T, E, P: Fails> ReturnType<P> for Result<T, E> {
    type Value = T;
    type Error = E;

    fn value(&self) -> Option<&T> {
        self.as_ref().ok()
    }

    fn from_value(value: T) -> Self {
        Ok(value)
    }

    fn from_error(error: E) -> Self {
        Err(error)
    }
}

#[diagnostic::do_not_recommend]
impl<T> ReturnType<OnError<Plain>> for T {
    type Value = T;
    type Error = Infallible;

    fn value(&self) -> Option<&T> {
        Some(self)
    }

    fn from_value(value: T) -> T {
        value
    }

    fn from_error(error: Infallible) -> T {
        match error {}
    }
}

/// The default: a call that finds its key busy fails, after its `wait`.
pub struct Fail;

/// `on_busy = skip`.
pub struct Skip;

/// A return type that says "nothing was done", for a call that finds its key busy.
#[diagnostic::on_unimplemented(
    message = "`on_busy = skip` has nothing to return as `{Self}`",
    label = "this return type has no value that means nothing",
    note = "return `()`, `Option<T>`, `Result<(), E>` or `Result<Option<T>, E>`, or remove `on_busy`"
)]
pub trait OnBusy<B>: Sized {
    /// `None`: the call fails.
    #[doc(hidden)]
    fn nothing() -> Option<Self> {
        None
    }
}

#[diagnostic::do_not_recommend]
impl<R> OnBusy<Fail> for R {}

#[diagnostic::do_not_recommend]
impl OnBusy<Skip> for () {
    fn nothing() -> Option<Self> {
        Some(())
    }
}

#[diagnostic::do_not_recommend]
impl<T> OnBusy<Skip> for Option<T> {
    fn nothing() -> Option<Self> {
        Some(None)
    }
}

#[diagnostic::do_not_recommend]
impl<T: OnBusy<Skip>, E> OnBusy<Skip> for Result<T, E> {
    fn nothing() -> Option<Self> {
        T::nothing().map(Ok)
    }
}

/// The default: a lock error becomes the function's error by `From`.
#[derive(Clone, Copy)]
pub struct ByFrom;

/// `map_err = path`.
pub struct MapErr<M>(pub(super) fn(Error) -> M);

/// An error type that a lock error can be converted into, under the error policy `P`.
#[diagnostic::on_unimplemented(
    message = "a lock error cannot be converted to `{Self}`",
    label = "the error type of this function does not implement `From<dspinlock::Error>`",
    note = "implement `From<dspinlock::Error>` for it, convert with `map_err`, for example `map_err = |error| error.to_string()` for a `String`, or set `on_error = run_unlocked` or `on_error = panic`"
)]
pub trait LockError<P>: Sized {
    /// Converts a lock error. `None`: run the body without the lock.
    #[doc(hidden)]
    fn from_lock_error(policy: &P, error: Error) -> Option<Self>;
}

#[diagnostic::do_not_recommend]
impl<E: From<Error>> LockError<ByFrom> for E {
    fn from_lock_error(_: &ByFrom, error: Error) -> Option<E> {
        Some(E::from(error))
    }
}

impl<E, M: BecomesError<E>> LockError<MapErr<M>> for E {
    fn from_lock_error(MapErr(map): &MapErr<M>, error: Error) -> Option<E> {
        Some(map(error).become_error())
    }
}

#[diagnostic::do_not_recommend]
impl<E, Kind> LockError<OnError<Kind>> for E {
    fn from_lock_error(policy: &OnError<Kind>, error: Error) -> Option<E> {
        report(policy.panics, &error);
        None
    }
}

impl<M> Clone for MapErr<M> {
    fn clone(&self) -> Self {
        Self(self.0)
    }
}

/// The return type of `map_err` is the error of the function.
#[diagnostic::on_unimplemented(
    message = "`map_err` returns `{Self}`, but the error type of the function is `{E}`",
    label = "the error type of this function is `{E}`",
    note = "`map_err` needs a function from `dspinlock::Error` to `{E}`"
)]
pub trait BecomesError<E> {
    /// The identity.
    #[doc(hidden)]
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

impl<Kind> Clone for OnError<Kind> {
    fn clone(&self) -> Self {
        Self::new(self.panics)
    }
}

impl<Kind> OnError<Kind> {
    pub(super) fn new(panics: bool) -> Self {
        Self {
            panics,
            kind: PhantomData,
        }
    }
}

// Not generic: compiled once.
fn report(panics: bool, error: &Error) {
    if panics {
        panic!("{error}");
    }
    tracing::warn!(target: "dspinlock", "running the function without the lock: {error}");
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
            fn rules<R, Kind>(_: Kind) -> Rules<R, OnError<Kind>>
            where
                R: ReturnType<OnError<Kind>, Value: Storable<Cached> + NearCacheable<Cached>>,
                R::Error: LockError<OnError<Kind>>,
            {
                Rules::new::<Cached, Fail>()
            }
            (rules::<$ty, _>(Shape::<$ty>::new().kind()).encode)(&$outcome)
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

    #[test]
    fn a_large_value_that_cannot_be_decoded_is_not_stored() {
        let large = |text: &str| vec![text.to_owned(); 2 << 20];
        assert!(matches!(
            disposition!(Vec<String>, large("")),
            Disposition::Publish(Some(_))
        ));
        let rows = vec![None::<[[u64; 8]; 8]>; 2 << 20];
        assert!(matches!(
            disposition!(Vec<Option<[[u64; 8]; 8]>>, rows),
            Disposition::Unencodable(_)
        ));
    }
}
