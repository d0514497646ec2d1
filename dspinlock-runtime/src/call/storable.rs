//! Which values are kept for later calls: none, those in the store, or those in the store and in the near cache.
//!
//! The shim chooses one of [`Discarded`], [`Cached`], [`CachedNear`] and [`CachedShared`]; `policy` calls it. It never talks to the store.

use std::any::Any;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{self, Unencodable};
use crate::pool::near_cache::AnyValue;

/// What happens to the lock after a result.
pub enum Disposition {
    /// The function returned `Err`: the lock is aborted.
    Abort,
    /// The key becomes COMPUTED, with these bytes if the value is stored.
    Publish(Option<Vec<u8>>),
    /// The value must be stored, but cannot be encoded.
    Unencodable,
}

/// Whether the value `T` is stored for later calls.
#[diagnostic::on_unimplemented(
    message = "`{T}` cannot be cached",
    label = "the value of this function cannot be serialized and deserialized",
    note = "a cached value must be owned and implement `serde::Serialize` and `serde::Deserialize`: derive both, or remove `cached_if_computed`"
)]
pub trait Storable<T> {
    /// Encodes a value, and says what to do with it.
    fn encode(value: &T) -> Disposition;
    /// Decodes a value; `None` if the bytes are not a value of this type.
    fn decode(bytes: &[u8]) -> Option<T>;
}

/// Without `cached_if_computed`: no value is stored, so it may have any type.
pub struct Discarded;

#[diagnostic::do_not_recommend]
impl<T> Storable<T> for Discarded {
    fn encode(_: &T) -> Disposition {
        Disposition::Publish(None)
    }

    fn decode(_: &[u8]) -> Option<T> {
        None
    }
}

/// With `cached_if_computed`.
pub struct Cached;

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned> Storable<T> for Cached {
    fn encode(value: &T) -> Disposition {
        match codec::encode(value) {
            Ok(bytes) => Disposition::Publish(Some(bytes)),
            Err(Unencodable) => Disposition::Unencodable,
        }
    }

    fn decode(bytes: &[u8]) -> Option<T> {
        codec::decode(bytes)
    }
}

/// With `cached_if_computed` and `name = ""`: Python may know the key, so it keeps no value.
pub struct CachedShared;

/// Without a value, COMPUTED is the whole result.
#[diagnostic::on_unimplemented(
    message = "a key with `name = \"\"` keeps no value: return `()` or `Result<(), E>`, or drop `name = \"\"` or `cached_if_computed`",
    label = "this function returns a value, `{T}`"
)]
pub trait NoValue<T> {
    /// The value that says nothing.
    const VALUE: T;
}

impl NoValue<()> for CachedShared {
    const VALUE: () = ();
}

impl<T> Storable<T> for CachedShared
where
    Self: NoValue<T>,
{
    fn encode(_: &T) -> Disposition {
        Disposition::Publish(Some(Vec::new()))
    }

    fn decode(_: &[u8]) -> Option<T> {
        Some(Self::VALUE)
    }
}

/// With `cached_if_computed` and `near_cache`.
pub struct CachedNear;

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned> Storable<T> for CachedNear {
    fn encode(value: &T) -> Disposition {
        Cached::encode(value)
    }

    fn decode(bytes: &[u8]) -> Option<T> {
        Cached::decode(bytes)
    }
}

/// Whether the value `T` is copied into the near cache.
#[diagnostic::on_unimplemented(
    message = "`{T}` cannot be copied by `near_cache`",
    label = "the value of this function is not `Clone + Send + Sync`",
    note = "a value in the near cache must be owned and `Clone + Send + Sync`: implement these, or remove `near_cache`"
)]
pub trait NearCacheable<T> {
    /// A copy for the near cache.
    fn to_entry(_: &T) -> Option<AnyValue> {
        None
    }
    /// The value of an entry; `None` if it is of another type.
    fn from_entry(_: &(dyn Any + Send + Sync)) -> Option<T> {
        None
    }
}

#[diagnostic::do_not_recommend]
impl<T> NearCacheable<T> for Discarded {}

#[diagnostic::do_not_recommend]
impl<T> NearCacheable<T> for Cached {}

#[diagnostic::do_not_recommend]
impl<T> NearCacheable<T> for CachedShared {}

#[diagnostic::do_not_recommend]
impl<T: Clone + Send + Sync + 'static> NearCacheable<T> for CachedNear {
    fn to_entry(value: &T) -> Option<AnyValue> {
        Some(Arc::new(value.clone()))
    }

    fn from_entry(entry: &(dyn Any + Send + Sync)) -> Option<T> {
        entry.downcast_ref().cloned()
    }
}
