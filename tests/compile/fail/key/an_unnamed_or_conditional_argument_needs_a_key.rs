use dspinlock::dspinlock;

type Result = std::result::Result<u64, dspinlock::Error>;

struct Point {
    x: u64,
    y: u64,
}

#[dspinlock]
async fn wild(id: u64, _: &str) -> Result {
    Ok(id)
}

#[dspinlock]
async fn inside((id, _): (u64, u64)) -> Result {
    Ok(id)
}

#[dspinlock]
fn rest(Point { x, .. }: Point) -> Result {
    Ok(x)
}

#[dspinlock]
fn conditional(id: u64, #[cfg(not(windows))] other: u64) -> Result {
    Ok(id + other)
}

#[async_trait::async_trait]
trait Sells {
    #[dspinlock(skip(self))]
    async fn sell(&self, _: u64, id: u64) -> Result {
        Ok(id)
    }
}

fn main() {
    let _ = Point { x: 1, y: 2 }.y;
}
