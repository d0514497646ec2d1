#![deny(warnings)]

use dspinlock::dspinlock;

#[dspinlock(key = ())]
async fn unused(id: u64, mut text: String) -> Result<usize, dspinlock::Error> {
    let unused = 1;
    Ok(text.len())
}

#[dspinlock(key = ())]
fn unreachable(id: u64) -> Result<u64, dspinlock::Error> {
    return Ok(id);
    Ok(0)
}

#[dspinlock]
async fn never_called(id: u64) -> Result<u64, dspinlock::Error> {
    Ok(id)
}

struct Shop;

impl Shop {
    #[dspinlock(skip(self))]
    fn locked(&self, id: u64) -> Result<u64, dspinlock::Error> {
        Ok(id)
    }

    fn plain(&self) {}
}

#[dspinlock]
#[track_caller]
pub async fn tracked(id: u64) -> Result<u64, dspinlock::Error> {
    Ok(id)
}

fn main() {
    let _ = Shop;
    unused(1, String::new());
}
