use std::time::Duration;

use dspinlock::dspinlock;

#[derive(serde::Serialize, serde::Deserialize)]
struct Failed;

impl From<dspinlock::Error> for Failed {
    fn from(_: dspinlock::Error) -> Self {
        Self
    }
}

#[dspinlock(cached_if_computed, ttl = |_| 60)]
async fn number(id: u64) -> Result<u64, dspinlock::Error> {
    Ok(id)
}

#[dspinlock(cached_if_computed, ttl = |value| Some(*value))]
fn maybe_a_number(id: u64) -> Result<u64, dspinlock::Error> {
    Ok(id)
}

#[dspinlock(cached_if_computed, ttl = |_| "1m", on_error = panic)]
fn text(id: u64) -> u64 {
    id
}

#[dspinlock(cached_if_computed, err_ttl = |_| 1)]
async fn error_number(id: u64) -> Result<u64, Failed> {
    Ok(id)
}

#[dspinlock(cached_if_computed, ttl = |value: &String| Some(Duration::from_secs(value.len() as u64)))]
fn other_type(id: u64) -> Result<u64, dspinlock::Error> {
    Ok(id)
}

fn main() {}
