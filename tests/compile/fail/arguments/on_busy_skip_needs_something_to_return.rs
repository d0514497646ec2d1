use dspinlock::dspinlock;

type Result<T = u64> = std::result::Result<T, dspinlock::Error>;

#[dspinlock(on_busy = skip, wait = forever)]
async fn forever(id: u64) -> Result<()> {
    Ok(println!("{id}"))
}

#[dspinlock(on_busy = skip)]
async fn value(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(on_busy = skip, on_error = panic)]
fn plain(id: u64) -> String {
    id.to_string()
}

#[dspinlock(on_busy = skip, cached_if_computed)]
fn list(id: u64) -> Result<Vec<u64>> {
    Ok(vec![id])
}

fn main() {}
