use dspinlock::dspinlock;

type Result = std::result::Result<u64, dspinlock::Error>;

#[dspinlock(key = "user:{user}")]
async fn unknown(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(key = "user:{id")]
async fn open(id: u64) -> Result {
    Ok(id)
}

struct Opaque;

#[dspinlock(key = ("user", "{id}"))]
async fn unprintable(id: Opaque) -> Result {
    let Opaque = id;
    Ok(1)
}

fn main() {}
