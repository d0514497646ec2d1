#![deny(warnings, clippy::all)]

use std::time::Duration;

use dspinlock::dspinlock;

type Result<T = u64> = std::result::Result<T, anyhow::Error>;

pub struct User {
    id: u64,
    name: String,
}

fn ttl_of(user: &User) -> Duration {
    Duration::from_secs(user.id)
}

#[dspinlock(
    key = id,
    name = "shop.price",
    prefix = "shop",
    cached_if_computed = true,
    fail_if_key_exists = false,
    max_spinlock_tries = 3,
    spinlock_sleep_thresh = "250ms",
    expire_at_timedelta = "1d2h",
    max_block_time = "1m",
    lease = "5s",
    replicas = 2,
    map_err = anyhow::Error::new,
)]
pub async fn literals(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(
    key = user.id,
    fail_if_key_exists,
    ttl = ttl_of(&user),
    lease = Duration::from_secs(2),
    wait = if user.name.is_empty() { Duration::ZERO } else { Duration::from_secs(1) },
    max_block_time = ttl_of(&user) * 2,
    spinlock_sleep_thresh = Duration::from_millis(user.id),
)]
pub async fn durations(user: User) -> Result<String> {
    Ok(user.name)
}

/// A type that becomes a duration.
pub struct Age(u64);

impl From<Age> for Duration {
    fn from(Age(secs): Age) -> Duration {
        Duration::from_secs(secs)
    }
}

#[dspinlock(cached_if_computed, ttl = Age(secs).into(), near_cache = Duration::from_secs(secs.max(1)).min(Duration::MAX))]
pub fn inferred(secs: u64) -> Result {
    Ok(secs)
}

const TRIES: u32 = 4;

#[dspinlock(max_spinlock_tries = TRIES + 1, replicas = TRIES - 3)]
pub fn numbers(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(key = id, name = "", wait = forever, fail_if_key_exists)]
pub fn waits_forever(id: &str) -> Result<usize> {
    Ok(id.len())
}

#[dspinlock(key = id, wait = "0s", spinlock_sleep_thresh = "1ms")]
pub fn does_not_wait(id: &[u8]) -> Result<usize> {
    Ok(id.len())
}

fn main() {}
