use dspinlock::dspinlock;

#[dspinlock(ttl = 5, cache)]
const unsafe extern "C" fn price(id: u64) -> impl Sized {
    id
}

fn main() {}
