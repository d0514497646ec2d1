use dspinlock::dspinlock;

#[dspinlock(key = id)]
async fn price(id: u64) -> u64 {
    id
}

#[dspinlock(key = id)]
fn price_sync(id: u64) -> Option<Vec<u64>> {
    Some(vec![id])
}

#[dspinlock(key = id)]
fn nothing(id: u64) {
    println!("{id}");
}

fn main() {}
