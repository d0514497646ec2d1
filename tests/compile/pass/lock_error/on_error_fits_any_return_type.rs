#![deny(warnings, clippy::all)]

use std::num::TryFromIntError;

use dspinlock::dspinlock;

#[dspinlock(key = id, on_error = run_unlocked, cached_if_computed)]
pub async fn value(mut id: u64, _unused: u8) -> u64 {
    id += 1;
    id
}

#[dspinlock(on_error = panic)]
pub fn nothing(id: &[u8]) {
    drop(id.to_vec());
}

#[dspinlock(on_error = panic, cached_if_computed)]
pub async fn nothing_async(id: &[u8]) {
    if id.is_empty() {
        return;
    }
    std::future::ready(()).await;
}

#[dspinlock(on_error = run_unlocked, cached_if_computed)]
pub fn error_without_from(id: u64) -> Result<u64, TryFromIntError> {
    u64::try_from(i128::from(id))
}

fn main() {}
