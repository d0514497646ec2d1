//! Which values are kept for later calls: none, those in the store, or those in the store and in the near cache.
//!
//! The shim chooses one of [`Discarded`], [`Cached`], [`CachedNear`] and [`CachedShared`]; `policy` calls it. It never talks to the store.

use std::any::Any;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{self, Undecodable, Unencodable};
use crate::pool::near_cache::AnyValue;

/// What happens to the lock after a result.
pub enum Disposition {
    /// The function returned `Err`: the lock is aborted.
    Abort,
    /// The key becomes COMPUTED, with these bytes if the value is stored.
    Publish(Option<Vec<u8>>),
    /// The value must be stored, but cannot be.
    Unencodable(Unencodable),
}

/// A value that the function may return, for the storage `S`: [`Discarded`], [`Cached`], [`CachedNear`] or
/// [`CachedShared`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be cached",
    label = "the value of this function cannot be serialized and deserialized",
    note = "a cached value must be owned and implement `serde::Serialize` and `serde::Deserialize`: derive both, or remove `cached_if_computed`",
    note = "`Arc` and `Rc` need serde's feature `rc`; an array of more than 32 elements is a `Vec` or a `Box<[T]>`"
)]
pub trait Storable<S>: Sized {
    /// Encodes a value, and says what to do with it.
    #[doc(hidden)]
    fn encode(&self) -> Disposition;
    /// Decodes a value.
    #[doc(hidden)]
    fn decode(bytes: &[u8]) -> Result<Self, Undecodable>;
}

/// Without `cached_if_computed`: no value is stored, so it may have any type.
pub struct Discarded;

#[diagnostic::do_not_recommend]
impl<T> Storable<Discarded> for T {
    fn encode(&self) -> Disposition {
        Disposition::Publish(None)
    }

    fn decode(_: &[u8]) -> Result<T, Undecodable> {
        Err(Undecodable::OtherType)
    }
}

/// With `cached_if_computed`.
pub struct Cached;

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned> Storable<Cached> for T {
    fn encode(&self) -> Disposition {
        encode(self)
    }

    fn decode(bytes: &[u8]) -> Result<T, Undecodable> {
        codec::decode(bytes)
    }
}

fn encode<T: Serialize + DeserializeOwned>(value: &T) -> Disposition {
    match codec::encode_decodable(value) {
        Ok(bytes) => Disposition::Publish(Some(bytes)),
        Err(reason) => Disposition::Unencodable(reason),
    }
}

/// With `cached_if_computed` and `name = ""`: Python may know the key, so it keeps no value.
pub struct CachedShared;

/// The value of a function that returns `()` or `Result<(), E>`: COMPUTED is the whole result.
#[diagnostic::on_unimplemented(
    message = "a key with `name = \"\"` keeps no value: return `()` or `Result<(), E>`, or drop `name = \"\"` or `cached_if_computed`",
    label = "this function returns a value, `{Self}`"
)]
pub trait NoValue {
    /// The value that says nothing.
    #[doc(hidden)]
    const VALUE: Self;
}

impl NoValue for () {
    const VALUE: () = ();
}

impl<T: NoValue> Storable<CachedShared> for T {
    fn encode(&self) -> Disposition {
        Disposition::Publish(Some(Vec::new()))
    }

    fn decode(_: &[u8]) -> Result<T, Undecodable> {
        Ok(T::VALUE)
    }
}

/// With `cached_if_computed` and `near_cache`.
pub struct CachedNear;

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned> Storable<CachedNear> for T {
    fn encode(&self) -> Disposition {
        encode(self)
    }

    fn decode(bytes: &[u8]) -> Result<T, Undecodable> {
        codec::decode(bytes)
    }
}

/// A value that `near_cache` can copy, for the storage `S`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be copied by `near_cache`",
    label = "the value of this function is not `Clone + Send + Sync`",
    note = "a value in the near cache must be owned and `Clone + Send + Sync`: implement these, or remove `near_cache`"
)]
pub trait NearCacheable<S>: Sized {
    /// A copy for the near cache.
    #[doc(hidden)]
    fn to_entry(&self) -> Option<AnyValue> {
        None
    }
    /// The value of an entry; `None` if it is of another type.
    #[doc(hidden)]
    fn from_entry(_: &(dyn Any + Send + Sync)) -> Option<Self> {
        None
    }
}

#[diagnostic::do_not_recommend]
impl<T> NearCacheable<Discarded> for T {}

#[diagnostic::do_not_recommend]
impl<T> NearCacheable<Cached> for T {}

#[diagnostic::do_not_recommend]
impl<T> NearCacheable<CachedShared> for T {}

#[diagnostic::do_not_recommend]
impl<T: Clone + Send + Sync + 'static> NearCacheable<CachedNear> for T {
    fn to_entry(&self) -> Option<AnyValue> {
        Some(Arc::new(self.clone()))
    }

    fn from_entry(entry: &(dyn Any + Send + Sync)) -> Option<T> {
        entry.downcast_ref().cloned()
    }
}
