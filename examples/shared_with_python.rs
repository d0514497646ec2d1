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

/// With `name = ""` only the object is hashed, as in Python. A shared key keeps no value, so the function returns none: it runs
/// once, in Rust or in Python.
#[dspinlock(name = "", key = report, cached_if_computed, wait = "1m")]
async fn send(report: &str) -> Result<(), Error> {
    println!("Rust sends the {report} ...");
    tokio::time::sleep(Duration::from_millis(100)).await; // the expensive part
    Ok(())
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
    send("nightly report").await?;
    send("nightly report").await?; // was sent before
    lock.delete_state().await?;
    Ok(())
}
