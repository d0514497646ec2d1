#![allow(unused_variables)]

use dspinlock::dspinlock;

type Result<T = ()> = std::result::Result<T, dspinlock::Error>;

#[dspinlock(name = "", version = 2)]
async fn version(id: u64) -> Result {
    Ok(())
}

#[dspinlock(name = "", label = "user:{id}")]
fn label(id: u64) -> Result {
    Ok(())
}

#[dspinlock(name = "", key = id, validate = amount)]
async fn validate(id: u64, amount: u64) -> Result {
    Ok(())
}

#[dspinlock(name = "", err_ttl = "1s", cached_if_computed)]
fn err_ttl(id: u64) -> Result {
    Ok(())
}

#[dspinlock(name = "", err_ttl = |_| None)]
fn err_ttl_closure(id: u64) -> Result<u64> {
    Ok(id)
}

#[dspinlock(name = "", ttl = |_| None, cached_if_computed)]
async fn ttl(id: u64) -> Result {
    Ok(())
}

#[dspinlock(name = "", expire_at_timedelta = |_| None)]
fn ttl_of_a_lock(id: u64) -> Result<u64> {
    Ok(id)
}

fn main() {}
