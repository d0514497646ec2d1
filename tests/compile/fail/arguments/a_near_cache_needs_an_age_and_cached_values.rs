//! Where a near cache makes no sense.

use dspinlock::dspinlock;

type Result = std::result::Result<u64, dspinlock::Error>;

#[dspinlock(near_cache = "10s")]
async fn not_cached(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(near_cache = "10s", cached_if_computed, fail_if_key_exists)]
async fn once(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(near_cache = "0s", cached_if_computed)]
async fn zero(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(near_cache = 10, cached_if_computed)]
async fn bare(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(near_cache, cached_if_computed)]
async fn no_age(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(near = "10s", cached_if_computed)]
async fn misspelt(id: u64) -> Result {
    Ok(id)
}

fn main() {}
