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

pub use error::{Error, KeyName, StoreFailure};
pub use lease::Lease;
pub use lease::current::{Current, current};
pub use lock::{Acquired, DSpinlockBase, HashDSpinlock};
pub use options::{Options, Wait};
pub use pool::{Pool, PoolBuilder, init};
pub use rt::op::Op;
pub use store::RedisParameters;
pub use tls::Tls;

/// What the shim of the attribute calls. It is no public API and changes without notice.
#[doc(hidden)]
pub mod __private {
    pub use crate::call::{
        ByFrom, Call, Discarded, Disposition, ErrorPolicy, MapErr, NearCacheable, OnError, Outcome,
        Returning, Rules, Run, Shape, Site, Storable, Stored, StoredNear, never,
    };
    pub use crate::inspect::{InUse, in_use};
}

/// What only the tests of this repository use. It changes without notice.
#[doc(hidden)]
#[allow(missing_docs)]
pub mod internals {
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
