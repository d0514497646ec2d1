//! One key, shared with workers that use py-dspinlock.
//!
//! `DSPINLOCK_URL=redis://127.0.0.1:6380 cargo run --example shared_with_python`, while this runs in Python:
//!
//! ```python
//! from dspinlock import HashDSpinlock
//! with HashDSpinlock("nightly report", sess=redis.Redis(port=6380)):
//!     ...
//! ```

use std::time::Duration;

use dspinlock::{Error, HashDSpinlock, dspinlock};

/// `name = ""` leaves the key to the object alone: a single text or byte string hashes as in Python. What Rust computes
/// is kept for Rust; of a Python worker's run only the fact that it ran is known, so Rust computes its own value once.
#[dspinlock(name = "", key = report, cached_if_computed, wait = "1m")]
async fn rows(report: &str) -> Result<u64, Error> {
    println!("  Rust makes the {report}");
    tokio::time::sleep(Duration::from_millis(100)).await;
    Ok(42)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    if std::env::var_os("DSPINLOCK_URL").is_none() {
        println!("  (DSPINLOCK_URL is not set: an embedded store, which Python cannot see)");
        dspinlock::init(dspinlock::Pool::open("sqlite::memory:")?)?;
    }
    let lock = HashDSpinlock::new("nightly report")?;
    println!("  {}", lock.key()); // the same text as get_key() gives in Python
    println!("  {} rows", rows("nightly report").await?);
    println!("  {} rows", rows("nightly report").await?); // a hit
    lock.delete_state().await?;
    Ok(())
}
