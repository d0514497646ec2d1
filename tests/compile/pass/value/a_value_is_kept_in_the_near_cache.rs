#![deny(warnings, clippy::all)]

use std::time::Duration;

use dspinlock::dspinlock;
use serde::Serialize;
use serde::de::DeserializeOwned;

type Result<T = u64> = std::result::Result<T, dspinlock::Error>;

/// Not `Clone`: errors are never copied.
pub struct Failure(pub dspinlock::Error);

#[dspinlock(cached_if_computed, near_cache = "10s")]
pub async fn price(id: u64, region: &str) -> Result<String> {
    Ok(format!("{id} in {region}"))
}

#[dspinlock(cached_if_computed, near_cache = Duration::from_secs(age), key = id, map_err = Failure)]
pub fn age_per_call(id: u64, age: u64) -> std::result::Result<Vec<u64>, Failure> {
    Ok(vec![id, age])
}

#[dspinlock(cached_if_computed, near_cache = "1s", on_error = panic)]
pub fn plain<T>(value: T) -> T
where
    T: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
{
    value
}

pub struct Shop(String);

impl Shop {
    #[dspinlock(key = (&self.0, id), name = "shop.price", cached_if_computed, near_cache = "1m", ttl = "1h")]
    pub async fn price(&self, id: u64) -> Result<(u64, u64)> {
        Ok((id, self.0.len() as u64))
    }
}

fn main() {}
