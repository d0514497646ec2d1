use dspinlock::dspinlock;

#[dspinlock(skip(client))]
async fn argument(id: u64) -> Result<u64, dspinlock::Error> {
    Ok(id)
}

#[dspinlock(skip(self))]
async fn receiver(id: u64) -> Result<u64, dspinlock::Error> {
    Ok(id)
}

fn main() {}
