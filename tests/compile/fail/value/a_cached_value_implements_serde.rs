use dspinlock::dspinlock;

struct Price(u64);

#[dspinlock(key = id, cached_if_computed)]
async fn price(id: u64) -> Result<Price, dspinlock::Error> {
    Ok(Price(id))
}

#[dspinlock(key = id, cached_if_computed, on_error = panic)]
fn price_sync(id: u64) -> Vec<Price> {
    vec![Price(id)]
}

fn main() {}
