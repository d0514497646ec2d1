use dspinlock::dspinlock;

type Result = std::result::Result<u64, dspinlock::Error>;

#[dspinlock(map_err = std::convert::identity, on_error = panic)]
async fn error_policy(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(wait = "1s", max_spinlock_tries = 3)]
async fn wait(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(key = id, skip(client))]
async fn key(id: u64, client: &str) -> Result {
    Ok(id + client.len() as u64)
}

#[dspinlock(near_cache = "10s", cached_if_computed, fail_if_key_exists)]
async fn near_cache(id: u64) -> Result {
    Ok(id)
}

fn main() {}
