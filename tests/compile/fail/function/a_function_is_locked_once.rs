use dspinlock::dspinlock;

#[dspinlock(cached_if_computed)]
#[dspinlock(lease = "1s")]
fn both(id: u64) -> Result<u64, dspinlock::Error> {
    Ok(id)
}

#[dspinlock::dspinlock]
#[doc(hidden)]
#[dspinlock::dspinlock(lease = "1s")]
async fn by_path(id: u64) -> Result<u64, dspinlock::Error> {
    Ok(id)
}

fn main() {
    let _ = (both(1), by_path(1));
}
