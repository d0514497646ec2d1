//! How long a result is kept, if its value or its error decides it: `ttl = |value| ...` and `err_ttl = ...`.
//!
//! The shim passes the user's closures inside of others, which find the value or the error in the return type. `steps` calls
//! them after the body.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::shape::{Fallible, Plain};
use crate::codec::{self, Undecodable, Unencodable};
use crate::options::MAX_DURATION;

/// The rules of a site whose results decide how long they are kept.
pub struct Keeping<R> {
    pub(super) ttl: Option<TtlRule<R>>,
    pub(super) errors: Option<Errors<R>>,
}

/// How long each result is kept.
pub(super) enum TtlRule<R> {
    /// Returns `None` for an `Err`.
    Pointer(fn(&R) -> Option<Ttl>),
    /// The closure of a block may own what it needs.
    Closure(Arc<OwnedRule<R>>),
    Fixed(Ttl),
}

pub(super) type OwnedRule<R> = dyn Fn(&R) -> Option<Ttl> + Send + Sync;

impl<R> TtlRule<R> {
    /// `None` if the rule is not about this result.
    pub(super) fn ttl(&self, outcome: &R) -> Option<Ttl> {
        match self {
            Self::Pointer(ttl) => ttl(outcome),
            Self::Closure(ttl) => ttl(outcome),
            Self::Fixed(ttl) => Some(*ttl),
        }
    }
}

/// How the errors of a function are recorded.
pub(super) struct Errors<R> {
    /// `None` for an `Ok`.
    pub(super) record: fn(&R) -> Option<Recorded>,
    pub(super) decode: fn(&[u8]) -> Result<R, Undecodable>,
    /// Replaces the time of `record`.
    pub(super) ttl: Option<TtlRule<R>>,
}

impl<R> Errors<R> {
    /// `None` for an `Ok`.
    pub(super) fn record(&self, outcome: &R) -> Option<Recorded> {
        let (payload, ttl) = (self.record)(outcome)?;
        let rule = self.ttl.as_ref().and_then(|rule| rule.ttl(outcome));
        Some((payload, rule.unwrap_or(ttl)))
    }
}

/// The encoded error, or why it has none, and how long it is kept.
pub type Recorded = (Result<Vec<u8>, Unencodable>, Ttl);

impl<R> Clone for Keeping<R> {
    fn clone(&self) -> Self {
        Self {
            ttl: self.ttl.clone(),
            errors: self.errors.clone(),
        }
    }
}

impl<R> Clone for TtlRule<R> {
    fn clone(&self) -> Self {
        match self {
            Self::Pointer(ttl) => Self::Pointer(*ttl),
            Self::Closure(ttl) => Self::Closure(ttl.clone()),
            Self::Fixed(ttl) => Self::Fixed(*ttl),
        }
    }
}

impl<R> Clone for Errors<R> {
    fn clone(&self) -> Self {
        Self {
            ttl: self.ttl.clone(),
            ..*self
        }
    }
}

/// The rules of a call: [`Keeping`], or `()` for the options alone.
pub trait Keep<R>: Clone {
    /// The rules, if there are any.
    #[doc(hidden)]
    fn keeping(&self) -> Option<&Keeping<R>> {
        None
    }
}

impl<R> Keep<R> for () {}

impl<R> Keep<R> for Keeping<R> {
    fn keeping(&self) -> Option<&Keeping<R>> {
        Some(self)
    }
}

/// How long one result is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ttl {
    /// So long.
    For(Duration),
    /// Not at all. Only calls that wait already receive it.
    Nothing,
}

/// What the closure of `ttl` or `err_ttl` returns: a `Duration`, or an `Option<Duration>`, whose `None` means not at all.
#[diagnostic::on_unimplemented(
    message = "`ttl` and `err_ttl` need a `Duration`, not `{Self}`",
    label = "this closure returns `{Self}`",
    note = "return a `Duration`, or an `Option<Duration>`, whose `None` means that the result is not kept"
)]
pub trait IntoTtl {
    /// The same as a [`Ttl`].
    #[doc(hidden)]
    fn into_ttl(self) -> Ttl;
}

#[diagnostic::do_not_recommend]
impl IntoTtl for Duration {
    fn into_ttl(self) -> Ttl {
        match self.is_zero() {
            true => Ttl::Nothing,
            false => Ttl::For(self.min(MAX_DURATION)),
        }
    }
}

#[diagnostic::do_not_recommend]
impl IntoTtl for Option<Duration> {
    fn into_ttl(self) -> Ttl {
        self.map_or(Ttl::Nothing, IntoTtl::into_ttl)
    }
}

/// The value of a return type. `Kind` tells a `Result` from every other type.
pub trait ValueOf<Kind> {
    /// The value.
    type Value;
    /// `None` for an `Err`.
    #[doc(hidden)]
    fn value_of(&self) -> Option<&Self::Value>;
}

impl<T, E> ValueOf<Fallible> for Result<T, E> {
    type Value = T;

    fn value_of(&self) -> Option<&T> {
        self.as_ref().ok()
    }
}

impl<T> ValueOf<Plain> for T {
    type Value = T;

    fn value_of(&self) -> Option<&T> {
        Some(self)
    }
}

/// For the shim of `ttl = |value| ...`.
pub fn ttl<R: ValueOf<Kind>, Kind, D: IntoTtl>(outcome: &R, _: Kind, ttl: fn(&R::Value) -> D) -> Option<Ttl> {
    outcome.value_of().map(|value| ttl(value).into_ttl())
}

/// An error that `err_ttl` can record.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be stored by `err_ttl`",
    label = "the error of this function cannot be serialized and deserialized",
    note = "derive `serde::Serialize` and `serde::Deserialize` for it, or remove `err_ttl`",
    note = "`dspinlock::Error` and `anyhow::Error` cannot be stored: return an error type of this program"
)]
pub trait RecordableError: Sized {
    /// The encoding.
    #[doc(hidden)]
    fn encode(&self) -> Result<Vec<u8>, Unencodable>;
    /// The inverse.
    #[doc(hidden)]
    fn decode(bytes: &[u8]) -> Result<Self, Undecodable>;
}

#[diagnostic::do_not_recommend]
impl<E: Serialize + DeserializeOwned> RecordableError for E {
    fn encode(&self) -> Result<Vec<u8>, Unencodable> {
        codec::encode_decodable(self)
    }

    fn decode(bytes: &[u8]) -> Result<E, Undecodable> {
        codec::decode(bytes)
    }
}

/// The error of a return type.
#[diagnostic::on_unimplemented(
    message = "`err_ttl` needs a function that returns a `Result`",
    label = "this return type has no error",
    note = "return a `Result`, or remove `err_ttl`"
)]
pub trait ErrorOf: Sized {
    /// The error.
    type Error;
    /// `None` for an `Ok`.
    #[doc(hidden)]
    fn error_of(&self) -> Option<&Self::Error>;
    #[doc(hidden)]
    fn of_error(error: Self::Error) -> Self;
}

#[diagnostic::do_not_recommend]
impl<T, E> ErrorOf for Result<T, E> {
    type Error = E;

    fn error_of(&self) -> Option<&E> {
        self.as_ref().err()
    }

    fn of_error(error: E) -> Self {
        Err(error)
    }
}

/// For the shim of `err_ttl = ...`.
///
/// Separate from [`record`], so that the compiler does not check the closure for a return type without an error.
pub fn error_of<R: ErrorOf>(outcome: &R) -> Option<&R::Error> {
    outcome.error_of()
}

/// For the shim of `err_ttl = ...`.
pub fn record<E: RecordableError, D: IntoTtl>(error: &E, ttl: fn(&E) -> D) -> Recorded {
    (error.encode(), ttl(error).into_ttl())
}

/// For the shim of `err_ttl = ...`.
pub fn recorded<R: ErrorOf<Error: RecordableError>>(bytes: &[u8]) -> Result<R, Undecodable> {
    R::Error::decode(bytes).map(R::of_error)
}
