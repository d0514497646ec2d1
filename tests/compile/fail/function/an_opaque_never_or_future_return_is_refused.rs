use std::fmt::Debug;
use std::pin::Pin;

use dspinlock::dspinlock;

#[dspinlock]
fn opaque(id: u64) -> impl Debug {
    id
}

#[dspinlock]
async fn opaque_inside(id: u64) -> Result<Vec<impl Debug>, dspinlock::Error> {
    Ok(vec![id])
}

#[dspinlock]
fn never(id: u64) -> ! {
    panic!("{id}")
}

#[dspinlock]
fn future(id: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(async move { id })
}

fn main() {
    let _ = (opaque(1), opaque_inside(1), future(1));
}
