use dspinlock::dspinlock;

type Result = std::result::Result<u64, dspinlock::Error>;

#[dspinlock(crate = common::dspinlock, cached_if_computed)]
async fn unknown(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(crate = std, on_error = panic)]
fn another_crate(id: u64) -> Result {
    Ok(id)
}

fn main() {}
