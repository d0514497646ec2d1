use dspinlock::dspinlock;

type Rows = Result<u64, dspinlock::Error>;

#[dspinlock(key = report, name = "", cached_if_computed)]
async fn rows(report: &str) -> Rows {
    Ok(report.len() as u64)
}

#[dspinlock(key = report, name = "", cached_if_computed, on_error = panic)]
fn length(report: &str) -> usize {
    report.len()
}

#[dspinlock(key = report, name = "", cached_if_computed, near_cache = "10s")]
fn near(report: &str) -> Result<(), dspinlock::Error> {
    let _ = report;
    Ok(())
}

fn main() {}
