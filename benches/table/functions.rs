//! The annotated functions that are measured.

use dspinlock::{Error, dspinlock};

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

/// Takes some time, and returns when the body has finished.
#[dspinlock(key = id, cached_if_computed, wait = "1m", name = "slow")]
pub(crate) async fn slow(id: u64, milliseconds: u64, begun: fn()) -> Result<u64, Error> {
    begun();
    tokio::time::sleep(std::time::Duration::from_millis(milliseconds)).await;
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

/// Microseconds since 1970. All processes of a machine share this clock.
pub(crate) fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("the clock is after 1970").as_micros() as u64
}
