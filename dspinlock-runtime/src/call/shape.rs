//! Tells `Result` from every other return type.
//!
//! The shim knows the return type only as tokens, so aliases, associated types and `anyhow::Result` must work. Method
//! resolution decides: the inherent method exists only if `R` is a `Result`, and the one behind `Deref` otherwise.

use std::marker::PhantomData;
use std::ops::Deref;

/// A function whose `Err` is never stored.
pub struct Fallible;

/// A function whose every return value is a result.
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

/// The shape of every type but `Result`.
pub struct AnyShape;

impl AnyShape {
    /// No `Result`.
    pub const fn kind(&self) -> Plain {
        Plain
    }
}
