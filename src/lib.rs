//! Runs an expensive function once per key, across every thread, process and host.
//!
//! The first caller takes a lock, computes and publishes the result. Callers that arrive in the meantime wait and
//! receive the same result. Later callers read the result without taking the lock.
//!
//! # Example
//!
//! ```
//! use dspinlock::{Error, Pool, dspinlock};
//!
//! #[dspinlock(cached_if_computed, ttl = "10m")]
//! async fn price(id: u64, region: &str) -> Result<u64, Error> {
//!     Ok(id * 3) // an expensive query
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Error> {
//!     dspinlock::init(Pool::open("sqlite::memory:")?)?; // or "redis://host"
//!     assert_eq!(price(7, "eu").await?, 21); // computes
//!     assert_eq!(price(7, "eu").await?, 21); // reads the stored result
//!     Ok(())
//! }
//! ```
//!
//! # Where to start
//!
//! - [`#[dspinlock]`](macro@dspinlock): every argument of the attribute. [`guide::keys`] explains how to choose a key.
//! - [`HashDSpinlock`]: a lock without a function. [`DSpinlockBase`]: a lock with a custom key scheme. [`acquire_all`]: several
//!   locks at once.
//! - [`current()`]: the lease of the running body, with its fence.
//! - [`Pool`] and [`init`]: the choice of the store. [`guide::stores`] explains URLs, TLS, Sentinel, Redis Cluster and
//!   the embedded store.
//! - [`Error`]: every error of a locked call.
//! - [`guide::migrating`]: a guide for users of the Python package `py-dspinlock`. [`guide::coming_from`]: a guide for users
//!   of `cached`, rslock, FusionCache, redsync and singleflight.
//! - [`guide::observing`]: traces, metrics, a dashboard, and the state of the store.
//! - [`guide::steering`]: invalidation, jobs, idempotent requests, stored errors, and a pool per test.
//!
//! Without [`init`] the first call opens the URL in the environment variable `DSPINLOCK_URL`. Without that variable it
//! opens the embedded store, a file of this user on this machine, in which every program has its own results.
//!
//! # Features
//!
//! | feature | enables |
//! |---|---|
//! | `embedded` (default) | `sqlite:` |
//! | `log` (default) | messages go to the `log` crate while the program has no `tracing` subscriber |
//! | `metrics` | counters and histograms of the `metrics` crate |
//! | `tls` | `rediss://`, `valkeys://` |
//! | `sentinel` | `redis+sentinel://` |
//! | `cluster` | `redis+cluster://` |

/// Runs a function once per key, across every thread, process and host that shares a store.
///
#[doc = include_str!("../docs/attribute.md")]
pub use dspinlock_macros::dspinlock;
pub use dspinlock_runtime::{
    Acquired, Bound, Current, DSpinlockBase, Entry, Error, Fresh, HashDSpinlock, Health, Holder, How,
    KeyName, Lease, Observed, Op, Options, Pool, PoolBuilder, RedisParameters, Role, Scope, Served, Status,
    StoreFailure, Stored, Tls, Wait, acquire_all, acquire_all_blocking, bounds, current, fresh,
    fresh_blocking, init, isoformat, served, served_blocking, sorted,
};

#[doc(hidden)]
pub use dspinlock_runtime::__private;

/// Guides. This module exists only in the documentation.
#[cfg(doc)]
pub mod guide {
    #[doc = include_str!("../docs/keys.md")]
    pub mod keys {}

    #[doc = include_str!("../docs/steering.md")]
    pub mod steering {}

    #[doc = include_str!("../docs/observing.md")]
    pub mod observing {}

    #[doc = include_str!("../docs/stores.md")]
    pub mod stores {}

    #[doc = include_str!("../docs/migrating.md")]
    pub mod migrating {}

    #[doc = include_str!("../docs/coming-from.md")]
    pub mod coming_from {}
}

/// `cargo test --doc` compiles and runs the programs in these pages.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../README.md")]
    struct Readme;

    #[doc = include_str!("../SECURITY.md")]
    struct Security;
}
