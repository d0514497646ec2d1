#![deny(warnings, clippy::all)]

use std::collections::HashMap;

use dspinlock::dspinlock;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
pub struct Price {
    amount: u64,
}

#[dspinlock(key = "price:{id}", cached_if_computed, ttl = "1m")]
pub fn derived(id: u64) -> Result<Price, dspinlock::Error> {
    if id == 7 {
        return Ok(Price { amount: 0 });
    }
    Ok(Price { amount: id })
}

#[dspinlock(cached_if_computed)]
pub async fn nested(id: u64) -> Result<Option<HashMap<String, Price>>, dspinlock::Error> {
    Ok((id > 0).then(HashMap::new))
}

#[dspinlock(cached_if_computed, on_error = panic)]
pub fn optional(id: u64) -> Option<Price> {
    Some(Price { amount: id })
}

fn main() {}
