#![deny(warnings, clippy::all)]

use dspinlock::dspinlock;

#[dspinlock(cached_if_computed)]
#[async_recursion::async_recursion]
pub async fn factorial(n: u64) -> Result<u64, dspinlock::Error> {
    match n {
        0 => Ok(1),
        n => Ok(n * factorial(n - 1).await?),
    }
}

fn main() {}
