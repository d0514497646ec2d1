use std::cell::Cell;

use dspinlock::dspinlock;
use serde::{Deserialize, Serialize};

type Result<T> = std::result::Result<T, dspinlock::Error>;

#[derive(Serialize, Deserialize)]
struct Single(u64);

#[derive(Clone, Serialize, Deserialize)]
struct OfOneThread(Cell<u64>);

#[derive(Clone)]
struct Unstorable(u64);

#[dspinlock(cached_if_computed, near_cache = "10s")]
async fn not_clone(id: u64) -> Result<Single> {
    Ok(Single(id))
}

#[dspinlock(cached_if_computed, near_cache = "10s", on_error = panic)]
fn not_sync(id: u64) -> OfOneThread {
    OfOneThread(Cell::new(id))
}

#[dspinlock(cached_if_computed, near_cache = "10s")]
async fn not_stored(id: u64) -> Result<Unstorable> {
    Ok(Unstorable(id))
}

fn main() {}
