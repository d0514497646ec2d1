use dspinlock::dspinlock;

#[derive(Debug)]
struct Refused;

#[dspinlock(key = id)]
async fn price(id: u64) -> Result<u64, Refused> {
    Ok(id)
}

fn main() {}
