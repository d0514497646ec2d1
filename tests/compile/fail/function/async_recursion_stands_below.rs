use dspinlock::dspinlock;

#[async_recursion::async_recursion]
#[dspinlock(cached_if_computed)]
async fn factorial(n: u64) -> Result<u64, dspinlock::Error> {
    match n {
        0 => Ok(1),
        n => Ok(n * factorial(n - 1).await?),
    }
}

fn main() {
    let _ = factorial(1);
}
