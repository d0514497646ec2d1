use dspinlock::dspinlock;

type Result = std::result::Result<u64, dspinlock::Error>;

#[dspinlock(ttl = "1m")]
async fn nothing_is_stored(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(expire_at_timedelta = "1m", cached_if_computed = false)]
async fn not_cached(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(near_cache = "2m", ttl = "1m", cached_if_computed)]
async fn a_copy_outlives_its_value(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(near_cache = "2h", cached_if_computed)]
async fn a_copy_outlives_the_default(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(skip())]
async fn nothing_is_skipped(id: u64) -> Result {
    Ok(id)
}

fn main() {}
