//! The run-time half of dspinlock; use it through the crate `dspinlock`.
//!
//! Each call passes through these modules: the attribute's shim builds a `Site` and a `Call`, `key` hashes the arguments,
//! `engine` decides (hit, lead or follow), and a `store` executes the steps of the `protocol`. `ARCHITECTURE.md` lists all
//! modules.

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
mod scope;
mod store;
#[cfg(test)]
mod tests;
mod tls;

pub use call::{Entry, SiteCall, site};
pub use error::{Error, Holder, KeyName, StoreFailure};
#[cfg(feature = "inspect")]
pub use inspect::{Answer, KeyInfo, Keys, Server};
#[cfg(feature = "testing")]
pub use inspect::{TestKey, TestPool};
pub use key::sorted;
pub use lease::Lease;
pub use lease::current::{Current, current};
pub use lock::{Acquired, DSpinlockBase, HashDSpinlock, acquire_all, acquire_all_blocking};
pub use options::{Options, Wait};
pub use pool::{Pool, PoolBuilder, init};
pub use protocol::status::{Status, Stored};
pub use protocol::timestamp::isoformat;
pub use rt::op::Op;
pub use scope::{Bound, Fresh, How, Observed, Scope, Served, fresh, fresh_blocking, served, served_blocking};
pub use store::{Health, RedisParameters, Role};
pub use tls::Tls;

/// The bounds that the attribute puts on the types of a function, as the compiler's messages name them.
///
/// No program implements or names them: every type that fits their description has them. The other types say how the attribute
/// was written, such as [`Cached`](bounds::Cached) for `cached_if_computed`.
///
/// | bound | on | because of |
/// |---|---|---|
/// | [`KeyPart`](bounds::KeyPart) | a part of the key or of `validate` | always |
/// | [`ReturnType`](bounds::ReturnType) | the return type | always |
/// | [`LockError`](bounds::LockError), [`BecomesError`](bounds::BecomesError) | the error type | always; `map_err` |
/// | [`Storable`](bounds::Storable), [`NearCacheable`](bounds::NearCacheable) | the value | `cached_if_computed`; `near_cache` |
/// | [`NoValue`](bounds::NoValue) | the value | `cached_if_computed` with `name = ""` |
/// | [`IntoTtl`](bounds::IntoTtl) | what a closure returns | `ttl = \|value\| ...`, `err_ttl = \|error\| ...` |
/// | [`ErrorOf`](bounds::ErrorOf), [`RecordableError`](bounds::RecordableError) | the return type, the error type | `err_ttl` |
/// | [`OnBusy`](bounds::OnBusy) | the return type | `on_busy = skip` |
pub mod bounds {
    pub use crate::call::{
        BecomesError, ByFrom, Cached, CachedNear, CachedShared, Detachable, Discarded, ErrorOf, Fail, Fails,
        Fallible, IntoTtl, Keep, Keeping, KeyPart, LockError, MapErr, NearCacheable, NoValue, OnBusy,
        OnError, Plain, RecordableError, Recorded, ReturnType, Skip, Storable, Ttl, ValueOf,
    };
    pub use crate::call::{ErrTtl, ErrTtlWith, Rules, Run, StoresValues, Tries, TtlWith};
}

/// For the code that the attribute generates. It is not public API and changes without notice.
#[doc(hidden)]
pub mod __private {
    pub use crate::call::{
        ByFrom, Call, Entry, ReturnType, Returning, Run, Shape, Site, Tries, error_of, never, record,
        recorded, ttl,
    };
    pub use crate::inspect::{InUse, in_use};
}

/// For the tests of this repository. It is not public API and changes without notice.
#[doc(hidden)]
#[allow(missing_docs)]
pub mod internals {
    pub mod clock {
        pub use crate::rt::clock::{Instant, advance};
    }
    pub mod key {
        pub use crate::key::*;
    }
    pub mod limits {
        pub use crate::options::{DEFAULT_MAX_BLOCK_TIME, DEFAULT_TTL, MAX_DURATION, MAX_PREFIX, MIN_LEASE};
    }
    pub mod metrics {
        pub use crate::rt::metrics::NAMES;
    }
    pub mod protocol {
        pub use crate::protocol::*;
    }
    pub mod store {
        pub use crate::store::*;
    }
}
