use dspinlock::dspinlock;

type Result = std::result::Result<u64, dspinlock::Error>;

#[dspinlock(ttl = 60, lease = -5, wait = 1.5)]
async fn numbers(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(ttl = "soon", lease = "1.5s", wait = "", max_block_time = "30m1h", spinlock_sleep_thresh = "1 s")]
async fn other_text(id: u64) -> Result {
    Ok(id)
}

const SECONDS: u64 = 5;

#[dspinlock(ttl = SECONDS, cached_if_computed)]
async fn a_constant_number(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(ttl = secs, cached_if_computed)]
async fn an_argument(secs: u64) -> Result {
    Ok(secs)
}

#[dspinlock(key = id, wait = limit, cached_if_computed)]
fn a_fraction(id: u64, limit: f64) -> Result {
    Ok(id + limit as u64)
}

#[dspinlock(ttl = "10 min", max_block_time = "1w", wait = "1 hour, 30 minutes")]
async fn usual_forms(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(ttl = forever, lease = "never", max_block_time = None)]
async fn no_limit(id: u64) -> Result {
    Ok(id)
}

fn main() {}
