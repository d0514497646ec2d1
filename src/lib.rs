//! An expensive function runs once per key, across every thread, process and host.
//!
//! The first caller takes a lock in Redis, computes and publishes; those who arrive meanwhile wait and are handed the
//! result; later callers read the computed result and never touch the lock.
//!
//! ```
//! use dspinlock::{Pool, dspinlock};
//!
//! #[dspinlock(cached_if_computed, ttl = "10m")]
//! async fn price(id: u64, region: &str) -> Result<f64, dspinlock::Error> {
//!     Ok(id as f64 * if region == "eu" { 1.19 } else { 1.0 }) // an expensive query
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), dspinlock::Error> {
//! dspinlock::init(Pool::open("sqlite::memory:")?)?; // or redis://host, or nothing: DSPINLOCK_URL
//! assert_eq!(price(100, "eu").await?, 119.0); // computes
//! assert_eq!(price(100, "eu").await?, 119.0); // reads
//! # Ok(())
//! # }
//! ```
//!
//! Without [`init`] the first call opens the URL in the environment variable `DSPINLOCK_URL`, else the embedded store:
//! a file that all processes of this machine share, no server needed.
//!
//! A lock without a function around it is a [`HashDSpinlock`]; a key scheme of one's own is a [`DSpinlockBase`].

pub use dspinlock_macros::dspinlock;
pub use dspinlock_runtime::Lease;
pub use dspinlock_runtime::RedisParameters;
pub use dspinlock_runtime::Tls;
pub use dspinlock_runtime::{Acquired, DSpinlockBase, HashDSpinlock, Op};
pub use dspinlock_runtime::{Current, current};
pub use dspinlock_runtime::{Error, StoreFailure};
pub use dspinlock_runtime::{Key, KeyPart};
pub use dspinlock_runtime::{Options, Wait};
pub use dspinlock_runtime::{Pool, init};

#[doc(hidden)]
pub use dspinlock_runtime::__private;
