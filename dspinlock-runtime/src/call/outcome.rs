//! What a function returned, judged: which results are kept, and how a lock error becomes a result.
//!
//! The shim knows the return type only as tokens. Traits tell `Result` from everything else, so that aliases,
//! associated types and `anyhow::Result` work. `call.rs` asks for one bound, [`Outcome`], and then goes on with the
//! plain function pointers of [`Rules`]: a function that breaks the bound gets one error, at its return type.

use std::any::Any;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Error;
use crate::codec::{self, Unencodable};
use crate::pool::near_cache::Memory;

/// How the outcome `R` of one function is treated.
pub struct Rules<R, J> {
    /// The bytes to publish, `None` where no value is kept; `Err` where the outcome is the function's own error.
    pub(crate) keep: fn(&R) -> Judgement,
    /// The outcome that stored bytes stand for; `None` where they cannot be decoded.
    pub(crate) restore: fn(&[u8]) -> Option<R>,
    /// A copy for the near cache; `None` where there is none.
    pub(crate) remember: fn(&R) -> Option<Memory>,
    /// The outcome that a copy in the near cache stands for; `None` where it is of another type.
    pub(crate) recall: fn(&(dyn Any + Send + Sync)) -> Option<R>,
    /// The outcome that a lock error stands for; `None`: go on without the lock.
    pub(crate) carry: fn(&J, Error) -> Option<R>,
}

/// What becomes of an outcome.
pub enum Judgement {
    /// An `Err` of the function's own: the lock is aborted.
    Abort,
    /// Leave COMPUTED, and the value where it is kept.
    Publish(Option<Vec<u8>>),
    /// The value to keep cannot be encoded.
    Unencodable,
}

/// The one bound of a shim, on the return type, so that the compiler points there. What is missing is said by the traits
/// behind it.
pub trait Outcome<K, J>: Sized {
    /// The treatment of outcomes.
    const RULES: Rules<Self, J>;
}

impl<R, K, J: Judge<R, K>> Outcome<K, J> for R {
    const RULES: Rules<R, J> = J::RULES;
}

/// A way to carry lock errors, for functions that return `R`. `K` says whether values are kept.
#[diagnostic::on_unimplemented(
    message = "`{R}` cannot carry a lock error",
    label = "this function cannot return a lock error",
    note = "return a `Result` whose error is `From<dspinlock::Error>`, or say what becomes of lock errors with `on_error = run_unlocked` or `on_error = panic`"
)]
pub trait Judge<R, K>: Sized {
    /// The treatment of outcomes.
    const RULES: Rules<R, Self>;
}

impl<T, E: CarriesLockError, K: Keep<T> + Copies<T>> Judge<Result<T, E>, K> for ByFrom {
    const RULES: Rules<Result<T, E>, Self> = Rules {
        keep: judge::<K, T, E>,
        restore: restore::<K, T, E>,
        remember: remember::<K, T, E>,
        recall: recall::<K, T, E>,
        carry: |_, error| Some(Err(E::carry(error))),
    };
}

impl<T, E, M: BecomesError<E>, K: Keep<T> + Copies<T>> Judge<Result<T, E>, K> for MapErr<M> {
    const RULES: Rules<Result<T, E>, Self> = Rules {
        keep: judge::<K, T, E>,
        restore: restore::<K, T, E>,
        remember: remember::<K, T, E>,
        recall: recall::<K, T, E>,
        carry: |MapErr(map), error| Some(Err(map(error).become_error())),
    };
}

impl<T, E, K: Keep<T> + Copies<T>> Judge<Result<T, E>, K> for OnError<Fallible> {
    const RULES: Rules<Result<T, E>, Self> = Rules {
        keep: judge::<K, T, E>,
        restore: restore::<K, T, E>,
        remember: remember::<K, T, E>,
        recall: recall::<K, T, E>,
        carry: OnError::carry,
    };
}

impl<T, K: Keep<T> + Copies<T>> Judge<T, K> for OnError<Plain> {
    const RULES: Rules<T, Self> = Rules {
        keep: K::judge,
        restore: K::decode,
        remember: K::remember,
        recall: K::recall,
        carry: OnError::carry,
    };
}

fn judge<K: Keep<T>, T, E>(outcome: &Result<T, E>) -> Judgement {
    match outcome {
        Ok(value) => K::judge(value),
        Err(_) => Judgement::Abort,
    }
}

fn restore<K: Keep<T>, T, E>(bytes: &[u8]) -> Option<Result<T, E>> {
    K::decode(bytes).map(Ok)
}

fn remember<K: Copies<T>, T, E>(outcome: &Result<T, E>) -> Option<Memory> {
    K::remember(outcome.as_ref().ok()?)
}

fn recall<K: Copies<T>, T, E>(memory: &(dyn Any + Send + Sync)) -> Option<Result<T, E>> {
    K::recall(memory).map(Ok)
}

/// Whether the value `T` is kept for later calls.
#[diagnostic::on_unimplemented(
    message = "`{T}` cannot be stored by `cached_if_computed`",
    label = "the value of this function cannot be stored",
    note = "a cached value is owned and implements both `serde::Serialize` and `serde::Deserialize`: derive them, or leave out `cached_if_computed`"
)]
pub trait Keep<T> {
    /// What to publish of it.
    fn judge(value: &T) -> Judgement;
    /// The value that stored bytes stand for.
    fn decode(bytes: &[u8]) -> Option<T>;
}

/// Without `cached_if_computed`: the value is the caller's alone and may be of any type.
pub struct Discarded;

#[diagnostic::do_not_recommend]
impl<T> Keep<T> for Discarded {
    fn judge(_: &T) -> Judgement {
        Judgement::Publish(None)
    }

    fn decode(_: &[u8]) -> Option<T> {
        None
    }
}

/// With `cached_if_computed`.
pub struct Kept;

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned> Keep<T> for Kept {
    fn judge(value: &T) -> Judgement {
        match codec::encode(value) {
            Ok(bytes) => Judgement::Publish(Some(bytes)),
            Err(Unencodable) => Judgement::Unencodable,
        }
    }

    fn decode(bytes: &[u8]) -> Option<T> {
        codec::decode(bytes)
    }
}

/// With `near_cache`.
pub struct KeptNear;

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned> Keep<T> for KeptNear {
    fn judge(value: &T) -> Judgement {
        Kept::judge(value)
    }

    fn decode(bytes: &[u8]) -> Option<T> {
        Kept::decode(bytes)
    }
}

/// Whether the value `T` is copied into the near cache, and back.
#[diagnostic::on_unimplemented(
    message = "`{T}` cannot be copied by `near_cache`",
    label = "the value of this function cannot be copied from thread to thread",
    note = "a value in the near cache is owned and `Clone + Send + Sync`: make it so, or leave out `near_cache`"
)]
pub trait Copies<T> {
    /// A copy for the near cache.
    fn remember(_: &T) -> Option<Memory> {
        None
    }
    /// A copy of a copy in the near cache.
    fn recall(_: &(dyn Any + Send + Sync)) -> Option<T> {
        None
    }
}

#[diagnostic::do_not_recommend]
impl<T> Copies<T> for Discarded {}

#[diagnostic::do_not_recommend]
impl<T> Copies<T> for Kept {}

#[diagnostic::do_not_recommend]
impl<T: Clone + Send + Sync + 'static> Copies<T> for KeptNear {
    fn remember(value: &T) -> Option<Memory> {
        Some(Arc::new(value.clone()))
    }

    fn recall(memory: &(dyn Any + Send + Sync)) -> Option<T> {
        memory.downcast_ref().cloned()
    }
}

/// The default: a lock error becomes the function's error by `From`.
pub struct ByFrom;

/// An error type that lock errors turn into by themselves.
#[diagnostic::on_unimplemented(
    message = "a lock error cannot become `{Self}`",
    label = "the error of this function is not `From<dspinlock::Error>`",
    note = "implement `From<dspinlock::Error>` for it, or give a conversion with `map_err = path`, or choose `on_error = run_unlocked` or `on_error = panic`"
)]
pub trait CarriesLockError {
    /// The function's error for a lock error.
    fn carry(error: Error) -> Self;
}

#[diagnostic::do_not_recommend]
impl<E: From<Error>> CarriesLockError for E {
    fn carry(error: Error) -> Self {
        Self::from(error)
    }
}

/// `map_err = path`.
pub struct MapErr<M>(pub(crate) fn(Error) -> M);

/// The result of `map_err` is the error of the function: a trait of its own, for the words of its message.
#[diagnostic::on_unimplemented(
    message = "`map_err` makes a `{Self}` of a lock error, but the function's error is `{E}`",
    label = "the error of this function is `{E}`",
    note = "`map_err` takes a function from `dspinlock::Error` to `{E}`"
)]
pub trait BecomesError<E> {
    /// Itself.
    fn become_error(self) -> E;
}

#[diagnostic::do_not_recommend]
impl<E> BecomesError<E> for E {
    fn become_error(self) -> E {
        self
    }
}

/// `on_error = ...`: for functions that cannot return a lock error, or should not.
pub struct OnError<Kind> {
    panic: bool,
    kind: PhantomData<Kind>,
}

impl<Kind> OnError<Kind> {
    pub(crate) fn new(panic: bool) -> Self {
        Self {
            panic,
            kind: PhantomData,
        }
    }

    fn carry<R>(&self, error: Error) -> Option<R> {
        on_error(self.panic, &error);
        None
    }
}

fn on_error(panic: bool, error: &Error) {
    if panic {
        panic!("{error}");
    }
    log::warn!(target: "dspinlock", "running without the lock: {error}");
}

/// A function whose `Err` is never kept.
pub struct Fallible;

/// A function whose every outcome is a value.
pub struct Plain;

/// Tells `Result` from every other type without specialization: the method below is found first where `R` is a
/// `Result`, and the one behind `Deref` everywhere else.
pub struct Shape<R>(PhantomData<fn() -> R>);

impl<R> Shape<R> {
    /// The shape of `R`.
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T, E> Shape<Result<T, E>> {
    /// A `Result`.
    pub const fn kind(&self) -> Fallible {
        Fallible
    }
}

impl<R> Deref for Shape<R> {
    type Target = AnyShape;

    fn deref(&self) -> &AnyShape {
        &AnyShape
    }
}

/// The shape of everything that is no `Result`.
pub struct AnyShape;

impl AnyShape {
    /// No `Result`.
    pub const fn kind(&self) -> Plain {
        Plain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the shim writes for `on_error`: it names the type, and method resolution tells the shapes apart.
    macro_rules! judge {
        ($ty:ty, $outcome:expr) => {{
            fn rules<K, R: Outcome<K, OnError<Kind>>, Kind>(_: Kind, _: K) -> Rules<R, OnError<Kind>> {
                R::RULES
            }
            (rules::<_, $ty, _>(Shape::<$ty>::new().kind(), Kept).keep)(&$outcome)
        }};
    }

    #[test]
    fn err_is_never_kept_and_all_else_is() {
        type Alias<T> = std::result::Result<T, ()>;
        fn generic<T: Serialize + DeserializeOwned>(value: T) -> Judgement {
            judge!(T, value)
        }
        assert!(matches!(
            judge!(Result<u8, ()>, Ok(1)),
            Judgement::Publish(Some(_))
        ));
        assert!(matches!(judge!(Result<u8, ()>, Err(())), Judgement::Abort));
        assert!(matches!(judge!(Alias<u8>, Err(())), Judgement::Abort));
        assert!(matches!(judge!(Option<u8>, None), Judgement::Publish(Some(_))));
        assert!(matches!(judge!((), ()), Judgement::Publish(Some(_))));
        // A bare parameter is plain, whatever it stands for.
        assert!(matches!(generic(Err::<u8, u8>(1)), Judgement::Publish(Some(_))));
    }
}
