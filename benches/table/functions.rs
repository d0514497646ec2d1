//! The annotated functions that are measured.

use std::time::Duration;

use dspinlock::{Acquired, Error, HashDSpinlock, Lease, Wait, dspinlock};

/// Returns a cached value of `bytes` bytes.
#[dspinlock(cached_if_computed)]
pub(crate) async fn value(id: u64, bytes: usize) -> Result<String, Error> {
    Ok("x".repeat(bytes))
}

/// [`value`] for sync callers.
#[dspinlock(cached_if_computed)]
pub(crate) fn value_sync(id: u64, bytes: usize) -> Result<String, Error> {
    let _ = id;
    Ok("x".repeat(bytes))
}

/// A cached result without a value, in the shared encoding.
#[dspinlock(key = id, name = "", prefix = "done", cached_if_computed)]
pub(crate) async fn done(id: u64) -> Result<(), Error> {
    Ok(())
}

/// Takes some time, and returns when the body has finished.
#[dspinlock(key = id, cached_if_computed, wait = "1m", name = "slow")]
pub(crate) async fn slow(id: u64, milliseconds: u64, begun: fn()) -> Result<u64, Error> {
    begun();
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    Ok(now())
}

/// [`slow`] for sync callers.
#[dspinlock(key = id, cached_if_computed, wait = "1m", name = "slow_sync")]
pub(crate) fn slow_sync(id: u64, milliseconds: u64, begun: fn()) -> Result<u64, Error> {
    begun();
    std::thread::sleep(Duration::from_millis(milliseconds));
    Ok(now())
}

/// Acquires a lock and releases it.
#[dspinlock(key = id)]
pub(crate) async fn locked(id: u64) -> Result<(), Error> {
    Ok(())
}

/// Calls `note` under a lock.
#[dspinlock(key = id, wait = "1m")]
pub(crate) async fn owned(id: u64, note: impl FnOnce()) -> Result<(), Error> {
    note();
    Ok(())
}

/// Acquires an explicit lock.
pub(crate) async fn explicit(id: u64) -> Lease {
    let lock = HashDSpinlock::new(id).wait(Wait::AtMost(Duration::from_secs(60)));
    match lock.acquire().await.expect("the lock is acquired") {
        Acquired::Locked(lease) => lease,
        _ => panic!("a computed key"),
    }
}

/// Acquires an explicit lock and releases it.
pub(crate) async fn explicit_locked(id: u64) {
    let lease = explicit(id).await;
    lease.release().await.expect("the lease is not lost");
}

/// Microseconds since 1970. All processes of a machine share this clock.
pub(crate) fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("the clock is after 1970").as_micros() as u64
}
