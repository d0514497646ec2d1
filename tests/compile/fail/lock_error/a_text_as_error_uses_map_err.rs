use dspinlock::dspinlock;

#[dspinlock(key = id)]
async fn price(id: u64) -> Result<u64, String> {
    Ok(id)
}

fn main() {}
