use dspinlock::{Error, dspinlock};

type Outcome<T = ()> = Result<T, Error>;

#[dspinlock(key = report, name = "", cached_if_computed)]
pub async fn aliased(report: &str) -> Outcome {
    Ok(())
}

#[dspinlock(key = report, name = "", cached_if_computed, on_error = run_unlocked)]
pub fn plain(report: &str) {}

#[dspinlock(key = report, name = "", cached_if_computed, map_err = |error| error.to_string())]
pub fn mapped(report: &str) -> Result<(), String> {
    Ok(())
}

#[dspinlock(key = report, name = "")]
pub fn uncached(report: &str) -> Result<u64, Error> {
    Ok(report.len() as u64)
}

fn main() {}
