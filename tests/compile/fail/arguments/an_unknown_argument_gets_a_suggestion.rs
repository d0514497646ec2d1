use dspinlock::dspinlock;

type Result = std::result::Result<u64, dspinlock::Error>;

#[dspinlock(kye = id, cached)]
async fn close(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(spinlock_sleep_tresh = "1s", max_tries(3), expire_at = "1s", near = "10s")]
async fn less_close(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(client = 7, skip(id))]
async fn unlike_any(id: u64) -> Result {
    Ok(id)
}

fn main() {}
