use dspinlock::dspinlock;

type Result = std::result::Result<u64, dspinlock::Error>;

#[dspinlock(lease = "15s", max_block_time = "soon")]
async fn no_duration(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(lease = "1h", max_block_time)]
async fn no_value(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(near_cache = "10s", ttl = 60, cached_if_computed)]
async fn no_unit(id: u64) -> Result {
    Ok(id)
}

fn main() {}
