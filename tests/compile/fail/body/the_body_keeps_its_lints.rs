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

fn main() {
    unused(1, String::new());
}
