use dspinlock::dspinlock;

struct Refused;

struct Other;

fn refuse(_: dspinlock::Error) -> Other {
    Other
}

#[dspinlock(key = id, map_err = refuse)]
async fn price(id: u64) -> Result<u64, Refused> {
    Ok(id)
}

#[dspinlock(key = id, map_err = 7)]
async fn number(id: u64) -> Result<u64, Refused> {
    Ok(id)
}

fn main() {}
