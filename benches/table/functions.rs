//! The annotated functions that are measured.

use dspinlock::{Error, dspinlock};

/// A value of so many bytes.
#[dspinlock(cached_if_computed)]
pub(crate) async fn value(id: u64, bytes: usize) -> Result<String, Error> {
    Ok("x".repeat(bytes))
}

/// The same for sync callers.
#[dspinlock(cached_if_computed)]
pub(crate) fn value_sync(id: u64, bytes: usize) -> Result<String, Error> {
    let _ = id;
    Ok("x".repeat(bytes))
}

/// A computed value that takes some time; the value is when it was done.
#[dspinlock(key = id, cached_if_computed, wait = "1m", name = "slow")]
pub(crate) async fn slow(id: u64, milliseconds: u64, begun: fn()) -> Result<u64, Error> {
    begun();
    tokio::time::sleep(std::time::Duration::from_millis(milliseconds)).await;
    Ok(now())
}

/// A lock around nothing.
#[dspinlock(key = id)]
pub(crate) async fn locked(id: u64) -> Result<(), Error> {
    Ok(())
}

/// A lock around a note of who has it.
#[dspinlock(key = id, wait = "1m")]
pub(crate) async fn owned(id: u64, note: impl FnOnce()) -> Result<(), Error> {
    note();
    Ok(())
}

/// Microseconds since 1970: the processes of one machine share this clock.
pub(crate) fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("a clock after 1970").as_micros() as u64
}
