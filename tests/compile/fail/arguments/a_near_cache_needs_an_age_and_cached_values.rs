use dspinlock::dspinlock;

type Result = std::result::Result<u64, dspinlock::Error>;

#[dspinlock(near_cache = "10s")]
async fn not_cached(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(near_cache = "0s", cached_if_computed)]
async fn zero(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(near_cache = 10, cached_if_computed)]
async fn no_unit(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(near_cache, cached_if_computed)]
async fn no_age(id: u64) -> Result {
    Ok(id)
}

fn main() {}
