//! The run-time half of dspinlock; use it through the crate `dspinlock`.
//!
//! The way of a call: the attribute's shim builds a `site` and a `call`, `key` hashes the arguments, `engine` decides
//! (hit, lead or follow) and asks a `store` to take steps of the `protocol`. `ARCHITECTURE.md` has the map.

mod call;
mod codec;
mod engine;
mod error;
mod inspect;
mod key;
mod lease;
mod lock;
mod options;
mod pool;
mod protocol;
mod rt;
mod store;
mod tls;

pub use error::{Error, StoreFailure};
pub use key::{Key, KeyPart};
pub use lease::Lease;
pub use lease::current::{Current, current};
pub use lock::{Acquired, DSpinlockBase, HashDSpinlock, Op};
pub use options::{Options, Wait};
pub use pool::{Pool, init};
pub use store::RedisParameters;
pub use tls::Tls;

/// What the shim of the attribute calls. Not for people: it changes without notice.
#[doc(hidden)]
pub mod __private {
    pub use crate::call::future::Run;
    pub use crate::call::outcome::{Copies, Judge, Judgement, Keep, Outcome, Rules, Shape};
    pub use crate::call::site::Site;
    pub use crate::call::{Call, Returning, never};
    pub use crate::inspect::{InHand, in_hand};
}

/// What only the tests of this repository use. It changes without notice.
#[doc(hidden)]
#[allow(missing_docs)]
pub mod internals {
    pub mod error {
        pub use crate::error::*;
    }
    pub mod key {
        pub use crate::key::*;
    }
    pub mod limits {
        pub use crate::options::{DEFAULT_MAX_BLOCK_TIME, MAX_DURATION, MAX_PREFIX, MIN_LEASE};
    }
    pub mod protocol {
        pub use crate::protocol::*;
    }
    pub mod store {
        pub use crate::store::*;
    }
}
