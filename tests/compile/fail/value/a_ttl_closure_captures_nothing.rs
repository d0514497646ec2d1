use dspinlock::dspinlock;

#[dspinlock(cached_if_computed, ttl = |_| std::time::Duration::from_secs(id))]
async fn argument(id: u64) -> Result<u64, dspinlock::Error> {
    Ok(id)
}

#[dspinlock(cached_if_computed, ttl = |_| std::time::Duration::from_secs(id), on_error = panic)]
fn argument_of_a_sync_function(id: u64) -> u64 {
    id
}

#[dspinlock(cached_if_computed, err_ttl = |_| std::time::Duration::from_secs(id), map_err = |error| error.to_string())]
async fn argument_for_an_error(id: u64) -> Result<u64, String> {
    Ok(id)
}

fn main() {}
