use dspinlock::{Error, dspinlock};

#[dspinlock(detach)]
fn detached(id: u64) -> Result<u64, Error> {
    Ok(id)
}

#[dspinlock(on_lease_lost = cancel)]
fn stopped(id: u64) -> Result<u64, Error> {
    Ok(id)
}

fn main() {}
