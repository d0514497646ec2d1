use std::sync::Arc;

use dspinlock::dspinlock;

type Result = std::result::Result<usize, dspinlock::Error>;

#[dspinlock]
async fn array(id: [u8; 64]) -> Result {
    Ok(id.len())
}

#[dspinlock(key = id)]
async fn borrowed_array(id: &[u8; 64]) -> Result {
    Ok(id.len())
}

#[dspinlock]
fn shared(id: Arc<String>) -> Result {
    Ok(id.len())
}

fn main() {}
