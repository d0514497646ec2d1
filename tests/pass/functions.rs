//! Free functions, async and sync.
#![deny(warnings, clippy::all)]

use dspinlock::dspinlock;

#[derive(serde::Serialize, serde::Deserialize)]
pub struct Price {
    pub amount: u64,
}

#[dspinlock]
pub async fn price(id: u64, region: &str) -> Result<Price, dspinlock::Error> {
    let _ = region;
    Ok(Price { amount: id })
}

/// Docs.
#[dspinlock(key = "price:{id}", cached_if_computed, ttl = "1m")]
pub fn price_now(id: u64) -> anyhow::Result<Price> {
    anyhow::ensure!(id > 0, "zero");
    if id == 7 {
        return Ok(Price { amount: 0 });
    }
    let amount = u64::try_from(i128::from(id))?;
    Ok(Price { amount })
}

#[dspinlock(key = id, on_error = run_unlocked)]
pub async fn plain(mut id: u64, _unused: u8) -> u64 {
    id += 1;
    id
}

#[dspinlock(on_error = panic)]
pub fn unit(id: &[u8]) {
    drop(id.to_vec());
}

fn main() {}
