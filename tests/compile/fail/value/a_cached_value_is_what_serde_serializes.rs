use std::sync::Arc;

use dspinlock::dspinlock;
use serde::{Deserialize, Serialize};

type Result<T> = std::result::Result<T, dspinlock::Error>;

#[dspinlock(cached_if_computed)]
async fn array(id: u8) -> Result<[u8; 64]> {
    Ok([id; 64])
}

#[dspinlock(cached_if_computed)]
fn shared(id: u64) -> Result<Arc<String>> {
    Ok(Arc::new(id.to_string()))
}

#[derive(Serialize, Deserialize)]
struct Named {
    name: &'static str,
}

#[dspinlock(cached_if_computed)]
fn borrowed(id: u64) -> Result<Named> {
    let _ = id;
    Ok(Named { name: "price" })
}

fn main() {}
