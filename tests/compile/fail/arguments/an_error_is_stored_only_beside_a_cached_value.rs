use dspinlock::dspinlock;

type Result = std::result::Result<u64, dspinlock::Error>;

#[dspinlock(err_ttl = "1s")]
async fn nothing_is_stored(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(err_ttl = |_| None, cached_if_computed = false)]
fn not_cached(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(err_ttl = "1s", fail_if_key_exists)]
async fn job(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(err_ttl = "1s", fail_if_key_exists, cached_if_computed)]
fn cached_job(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(ttl = |_| None)]
async fn no_value_is_stored(id: u64) -> Result {
    Ok(id)
}

fn main() {}
