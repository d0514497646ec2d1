//! The explicit API: a lock as an object, without an annotated function.
//!
//! Users call it. It only builds the key and the options of a call; `engine` and `pool` do the rest.

mod all;
mod base;
mod hash;

pub use self::all::{acquire_all, acquire_all_blocking};
pub use self::base::{Acquired, DSpinlockBase};
pub use self::hash::HashDSpinlock;
