//! Keys: the SHA-256 of the canonical bytes of serde values, and the names of a key in the store.
//!
//! The shim of an annotated function and `HashDSpinlock` feed values to a [`KeyHasher`], which returns a [`Key`]. This
//! module is pure: it does no I/O, reads no clock and knows no options. Its digests never change between releases.

pub mod base64;
mod canonical;
mod hasher;
pub(crate) mod json_number;
mod name;
mod recent;
mod shared;
mod sorted;
#[cfg(test)]
mod tests;

pub(crate) use recent::{KeyDigest, Owner};

pub use hasher::{KeyHasher, KeyPart};
pub use name::{Format, Key, KeyError};
pub use sorted::sorted;
