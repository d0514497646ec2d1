use dspinlock::dspinlock;

type Result = std::result::Result<u64, dspinlock::Error>;

#[dspinlock(key = "user:{idd}")]
async fn one(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(key = ("user", "{tenant}:{ID}:{user:>5}"))]
fn several(tenant: u64, id: u64) -> Result {
    Ok(tenant + id)
}

#[dspinlock(key = "{id}")]
async fn none() -> Result {
    Ok(1)
}

fn main() {}
