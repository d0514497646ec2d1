#![allow(unused_variables)]

use dspinlock::{Pool, dspinlock};

type Result<T = ()> = std::result::Result<T, dspinlock::Error>;

#[dspinlock(on_busy = wait)]
async fn busy_word(id: u64) -> Result {
    Ok(())
}

#[dspinlock(on_busy = "skip")]
fn busy_text(id: u64) -> Result {
    Ok(())
}

#[dspinlock(on_busy)]
fn busy_without_a_value(id: u64) -> Result {
    Ok(())
}

#[dspinlock(version = "2")]
async fn version_text(id: u64) -> Result {
    Ok(())
}

#[dspinlock(version = id)]
fn version_of_an_argument(id: u32) -> Result {
    Ok(())
}

#[dspinlock(version = 4294967296)]
fn version_too_large(id: u64) -> Result {
    Ok(())
}

#[dspinlock(version = -1)]
fn version_below_zero(id: u64) -> Result {
    Ok(())
}

#[dspinlock(entry = "price_entry")]
async fn entry_text(id: u64) -> Result {
    Ok(())
}

#[dspinlock(entry = prices::entry)]
fn entry_path(id: u64) -> Result {
    Ok(())
}

#[dspinlock(entry)]
fn entry_without_a_name(id: u64) -> Result {
    Ok(())
}

#[dspinlock(err_ttl = 1, cached_if_computed)]
async fn error_without_a_unit(id: u64) -> Result {
    Ok(())
}

#[dspinlock(err_ttl = "1 s", cached_if_computed)]
fn error_with_a_space(id: u64) -> Result {
    Ok(())
}

#[dspinlock(err_ttl = "36600d1ns", cached_if_computed)]
fn error_for_too_long(id: u64) -> Result {
    Ok(())
}

#[dspinlock(err_ttl = forever, cached_if_computed)]
fn error_forever(id: u64) -> Result {
    Ok(())
}

#[dspinlock(err_ttl = seconds, cached_if_computed)]
fn error_of_a_number(seconds: u64) -> Result {
    Ok(())
}

#[dspinlock(key = id, pool = pool)]
fn pool_by_value(id: u64, pool: Pool) -> Result {
    Ok(())
}

#[dspinlock(pool = "redis://localhost")]
fn pool_by_url(id: u64) -> Result {
    Ok(())
}

fn main() {}
