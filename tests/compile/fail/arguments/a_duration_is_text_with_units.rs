//! Durations that are none.

use std::time::Duration;

use dspinlock::dspinlock;

type Result = std::result::Result<u64, dspinlock::Error>;

#[dspinlock(ttl = 60, lease = -5, wait = 1.5)]
async fn bare(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(ttl = "soon", lease = "1.5s", wait = "", max_block_time = "30m1h", spinlock_sleep_thresh = "1 s")]
async fn text(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(ttl = "99999999999999999999d")]
async fn too_long(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(ttl = "0s", lease = "0s", max_block_time = "0ms", spinlock_sleep_thresh = "0h0m")]
async fn zero(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(lease = "99ms")]
async fn short(id: u64) -> Result {
    Ok(id)
}

const SECONDS: u64 = 5;

#[dspinlock(ttl = SECONDS)]
async fn number(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(ttl = Duration::from_secs(SECONDS), lease = forever)]
async fn only_wait_is_forever(id: u64) -> Result {
    Ok(id)
}

fn main() {}
