use dspinlock::dspinlock;

type Result = std::result::Result<u64, dspinlock::Error>;

#[dspinlock(key)]
async fn key(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(ttl)]
async fn ttl(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(skip = id)]
async fn skip(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(name = 7)]
async fn name(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(cached_if_computed = 1)]
async fn flag(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(on_error = ignore)]
async fn on_error(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(max_spinlock_tries = "3")]
async fn tries(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(key = "{id}", cached_if_computed ttl = "1s")]
async fn no_comma(id: u64) -> Result {
    Ok(id)
}

fn main() {}
