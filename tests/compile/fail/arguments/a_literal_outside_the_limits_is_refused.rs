use dspinlock::dspinlock;

type Result = std::result::Result<u64, dspinlock::Error>;

#[dspinlock(ttl = "0s", lease = "0s", max_block_time = "0ms", spinlock_sleep_thresh = "0h0m")]
async fn zero(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(ttl = "40000d", wait = "99999999999999999999d")]
async fn longer_than_100_years(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(lease = "99ms")]
async fn short_lease(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(max_block_time = "99ms")]
async fn short_block_time(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(lease = "2m", max_block_time = "1m")]
async fn long_lease(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(lease = "1h")]
async fn lease_above_the_default(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(max_spinlock_tries = 0)]
async fn no_tries(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(max_spinlock_tries = 5000000000)]
async fn many_tries(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(prefix = "")]
async fn empty_prefix(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(prefix = "a,b")]
async fn comma_in_prefix(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(prefix = "0123456789012345678901234567890123456789012345678901234567890123456789")]
async fn long_prefix(id: u64) -> Result {
    Ok(id)
}

fn main() {}
