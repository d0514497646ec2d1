use std::time::Duration;

use dspinlock::dspinlock;

type Result<T = u64> = std::result::Result<T, dspinlock::Error>;

#[dspinlock]
fn awaits(id: u64) -> Result {
    std::future::ready(id).await;
    Ok(id)
}

#[dspinlock(key = text.len(), wait = { drop(text); Duration::ZERO })]
fn moved(text: String) -> Result {
    Ok(text.len() as u64)
}

#[dspinlock(key = text.len(), wait = { drop(text); Duration::ZERO })]
async fn moved_async(text: String) -> Result {
    Ok(text.len() as u64)
}

#[dspinlock]
async fn borrowed(id: u64) -> Result<&'static u64> {
    Ok(&id)
}

#[dspinlock]
fn borrowed_sync(id: u64) -> Result<&'static u64> {
    Ok(&id)
}

fn main() {}
