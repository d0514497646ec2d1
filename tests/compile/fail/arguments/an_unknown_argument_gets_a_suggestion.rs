use dspinlock::dspinlock;

type Result = std::result::Result<u64, dspinlock::Error>;

#[dspinlock(kye = id, cached)]
async fn near(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(spinlock_sleep_tresh = "1s", max_tries(3), expire_at = "1s")]
async fn less_near(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(client = 7, skip(id))]
async fn far(id: u64) -> Result {
    Ok(id)
}

fn main() {}
