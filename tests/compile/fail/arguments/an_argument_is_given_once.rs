use dspinlock::dspinlock;

type Result = std::result::Result<u64, dspinlock::Error>;

#[dspinlock(key = id, key = id)]
async fn key(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(cached_if_computed, cached_if_computed = false)]
async fn flag(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(ttl = "1s", expire_at_timedelta = "1s")]
async fn alias(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(skip(id, id))]
async fn skipped(id: u64) -> Result {
    Ok(id)
}

fn main() {}
