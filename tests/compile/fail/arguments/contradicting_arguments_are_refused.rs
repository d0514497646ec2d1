use dspinlock::dspinlock;

type Result = std::result::Result<u64, dspinlock::Error>;

#[dspinlock(map_err = std::convert::identity, on_error = panic)]
async fn error(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(wait = "1s", max_spinlock_tries = 3)]
async fn wait(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(key = id, skip(client))]
async fn skipped(id: u64, client: &str) -> Result {
    Ok(id + client.len() as u64)
}

#[dspinlock(lease = "2m", max_block_time = "1m")]
async fn lease(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(lease = "1h")]
async fn lease_by_default(id: u64) -> Result {
    Ok(id)
}

fn main() {}
