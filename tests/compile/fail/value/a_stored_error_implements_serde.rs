use dspinlock::dspinlock;

struct Failed;

impl From<dspinlock::Error> for Failed {
    fn from(_: dspinlock::Error) -> Self {
        Self
    }
}

#[dspinlock(cached_if_computed, err_ttl = "1s")]
async fn price(id: u64) -> Result<u64, Failed> {
    Ok(id)
}

#[dspinlock(cached_if_computed, err_ttl = |_| None)]
fn price_sync(id: u64) -> Result<u64, Failed> {
    Ok(id)
}

#[dspinlock(cached_if_computed, err_ttl = "1s")]
fn lock_error(id: u64) -> Result<u64, dspinlock::Error> {
    Ok(id)
}

fn main() {}
