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
//! - [`#[dspinlock]`](macro@dspinlock): every argument of the attribute.
//! - [`site`]: what the attribute does, as a block.
//! - [`HashDSpinlock`]: a lock without a function. [`DSpinlockBase`]: a lock with a custom key scheme. [`acquire_all`]: several
//!   locks at once.
//! - [`current()`]: the lease of the running body, with its fence.
//! - [`Pool`] and [`init`]: the choice of the store.
//! - [`Error`]: every error of a locked call.
//!
//! The guide has a page for each task:
//!
//! - [`guide::keys`]: what belongs in a key.
//! - [`guide::times`]: how long to wait, to hold a lock and to keep a result.
//! - [`guide::steering`]: invalidation, blocks, jobs, idempotent requests, stored errors, and a pool per test.
//! - [`guide::large_values`]: limits of values, and how to make large ones cheaper.
//! - [`guide::stores`]: URLs, TLS, Sentinel, Redis Cluster, and the embedded store.
//! - [`guide::exec`]: any program under a lock, with the command `dspinlock exec`.
//! - [`guide::servers`]: what managed servers and proxies must allow.
//! - [`guide::outages`]: what calls do while the store is down.
//! - [`guide::deploying`]: two versions of a program, or two programs, on one store.
//! - [`guide::shutting_down`]: freeing all keys after SIGTERM.
//! - [`guide::observing`]: traces, metrics, a dashboard, and the state of the store.
//! - [`guide::operating`]: the command `dspinlock`, entries in `redis-cli`, eviction, persistence, permissions.
//! - [`guide::fencing`]: what a lock cannot promise, and how a SQL table refuses an old holder.
#![cfg_attr(
    feature = "testing",
    doc = "- [`guide::testing`]: tests without a server, with a clock that is moved by hand."
)]
//! - [`guide::migrating`]: for users of the Python package `py-dspinlock`.
//! - [`guide::coming_from`]: for users of `cached`, rslock, FusionCache, redsync and singleflight.
//!
//! Without [`init`] the first call opens the URL in the environment variable `DSPINLOCK_URL`. Without that variable it
//! opens the embedded store, a file of this user on this machine, in which each executable has separate results and locks of
//! functions without `name`.
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
//! | `inspect` | `Pool::keys`, `Pool::key_info`, `Pool::delete_key` and `Pool::servers`, for tools of operators |
//! | `testing` | `Pool::for_test`: a pool for a test, without a server and with a clock that is moved by hand |

/// Runs a function once per key, across every thread, process and host that shares a store.
///
#[doc = include_str!("../docs/attribute.md")]
pub use dspinlock_macros::dspinlock;
pub use dspinlock_runtime::{
    Acquired, Bound, Current, DSpinlockBase, Entry, Error, Fresh, HashDSpinlock, Health, Holder, How,
    KeyName, Lease, Observed, Op, Options, Pool, PoolBuilder, RedisParameters, Role, Scope, Served, SiteCall,
    Status, StoreFailure, Stored, Tls, Wait, acquire_all, acquire_all_blocking, bounds, current, fresh,
    fresh_blocking, init, isoformat, served, served_blocking, site, sorted,
};
#[cfg(feature = "testing")]
pub use dspinlock_runtime::{TestKey, TestPool};

#[cfg(feature = "inspect")]
pub use dspinlock_runtime::{Answer, KeyInfo, Keys, Server};

#[doc(hidden)]
pub use dspinlock_runtime::__private;

/// Guides. This module exists only in the documentation.
#[cfg(doc)]
pub mod guide {
    #[doc = include_str!("../docs/keys.md")]
    pub mod keys {}

    #[doc = include_str!("../docs/times.md")]
    pub mod times {}

    #[doc = include_str!("../docs/steering.md")]
    pub mod steering {}

    #[doc = include_str!("../docs/observing.md")]
    pub mod observing {}

    #[doc = include_str!("../docs/large-values.md")]
    pub mod large_values {}

    #[doc = include_str!("../docs/stores.md")]
    pub mod stores {}

    #[doc = include_str!("../docs/servers.md")]
    pub mod servers {}

    #[doc = include_str!("../docs/outages.md")]
    pub mod outages {}

    #[doc = include_str!("../docs/deploying.md")]
    pub mod deploying {}

    #[doc = include_str!("../docs/shutting-down.md")]
    pub mod shutting_down {}

    #[doc = include_str!("../docs/operating.md")]
    pub mod operating {}

    #[doc = include_str!("../docs/fencing.md")]
    pub mod fencing {}

    #[cfg(feature = "testing")]
    #[doc = include_str!("../docs/testing.md")]
    pub mod testing {}

    #[doc = include_str!("../docs/exec.md")]
    pub mod exec {}

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
