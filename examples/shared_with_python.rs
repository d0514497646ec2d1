//! A key that Rust processes share with workers that use the Python package py-dspinlock.
//!
//! Run it with Redis: `DSPINLOCK_URL=redis://127.0.0.1:6379 cargo run --example shared_with_python`.
//! The same lock in Python:
//!
//! ```python
//! from dspinlock import HashDSpinlock
//! with HashDSpinlock("nightly report", sess=redis.Redis(port=6379)):
//!     ...
//! ```

use std::time::Duration;

use dspinlock::{Error, HashDSpinlock, Pool, dspinlock};

/// With `name = ""` only the object is hashed, as in Python. Python stores no value. After a Python worker has run, a Rust
/// worker computes the value once and stores it for other Rust workers.
#[dspinlock(name = "", key = report, cached_if_computed, wait = "1m")]
async fn rows(report: &str) -> Result<u64, Error> {
    println!("Rust computes the {report} ...");
    tokio::time::sleep(Duration::from_millis(100)).await; // the expensive part
    Ok(42)
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let url = std::env::var("DSPINLOCK_URL").unwrap_or_else(|_| {
        println!("DSPINLOCK_URL is not set, so the store is in memory and Python cannot see it");
        "sqlite::memory:".into()
    });
    dspinlock::init(Pool::open(&url)?)?;

    let lock = HashDSpinlock::new("nightly report");
    println!("key {}", lock.key()?); // `get_key()` in Python returns the same key
    println!("{} rows", rows("nightly report").await?);
    println!("{} rows", rows("nightly report").await?); // the cached value
    lock.delete_state().await?;
    Ok(())
}
