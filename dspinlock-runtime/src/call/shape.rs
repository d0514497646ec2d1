//! Distinguishes `Result` from every other return type, for `on_error`. The shim calls it.
//!
//! The shim knows the return type only as tokens, so aliases, associated types and `anyhow::Result` must work. Method
//! resolution decides: the inherent method exists only if `R` is a `Result`, and the one behind `Deref` otherwise.

use std::marker::PhantomData;
use std::ops::Deref;

/// A function whose `Err` is never stored.
pub struct Fallible;

/// A function whose every return value is stored.
pub struct Plain;

/// The shape of the return type `R`. The shim calls `kind()`.
pub struct Shape<R>(PhantomData<fn() -> R>);

impl<R> Shape<R> {
    /// The shape of `R`.
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T, E> Shape<Result<T, E>> {
    /// The kind of a `Result`.
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

/// The shape of every type except `Result`.
pub struct AnyShape;

impl AnyShape {
    /// The kind of every other type.
    pub const fn kind(&self) -> Plain {
        Plain
    }
}
