use dspinlock::dspinlock;

type Result = std::result::Result<u64, dspinlock::Error>;

#[dspinlock(validate = amount, cached_if_computed)]
async fn every_argument_is_the_key(id: u64, amount: u64) -> Result {
    Ok(id + amount)
}

#[dspinlock(validate = (amount, currency), skip(currency))]
fn with_skip(id: u64, amount: u64, currency: &str) -> Result {
    Ok(id + amount + currency.len() as u64)
}

#[dspinlock(key = id, validate = amount, on_error = run_unlocked)]
fn unlocked(id: u64, amount: u64) -> Result {
    Ok(id + amount)
}

#[dspinlock(key = id, validate = Amount(amount))]
fn not_serializable(id: u64, amount: u64) -> Result {
    Ok(id + amount)
}

struct Amount(u64);

fn main() {}
