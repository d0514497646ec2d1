use dspinlock::dspinlock;

#[dspinlock(cached_if_computed, err_ttl = "1s", on_error = panic)]
async fn value(id: u64) -> u64 {
    id
}

#[dspinlock(cached_if_computed, err_ttl = |_| None, on_error = run_unlocked)]
fn option(id: u64) -> Option<u64> {
    Some(id)
}

fn main() {}
