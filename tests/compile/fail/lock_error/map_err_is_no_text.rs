use dspinlock::dspinlock;

#[dspinlock(map_err = "anyhow::Error::new")]
async fn path(id: u64) -> anyhow::Result<u64> {
    Ok(id)
}

#[dspinlock(map_err = r#"|error| anyhow::Error::new(error)"#)]
async fn closure(id: u64) -> anyhow::Result<u64> {
    Ok(id)
}

fn main() {}
