use dspinlock::dspinlock;

type Result = std::result::Result<u64, dspinlock::Error>;

#[dspinlock(crate = "common::dspinlock")]
async fn quoted(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(crate)]
async fn no_value(id: u64) -> Result {
    Ok(id)
}

fn main() {}
