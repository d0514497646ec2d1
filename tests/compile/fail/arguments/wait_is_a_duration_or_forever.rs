use dspinlock::dspinlock;

type Result = std::result::Result<u64, dspinlock::Error>;

#[dspinlock(wait = "forever")]
async fn quoted(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(wait = none)]
async fn none(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(wait = None)]
async fn option(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(wait = "infinite")]
async fn infinite(id: u64) -> Result {
    Ok(id)
}

fn main() {}
