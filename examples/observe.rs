//! Exports traces and metrics of locked calls: spans to standard error, metrics as text for Prometheus to standard output.
//!
//! Run it: `cargo run --example observe --features metrics`.
//! The store is in memory. Set `DSPINLOCK_URL`, for example to `redis://127.0.0.1`, to use a server.

use std::error::Error;
use std::io;
use std::time::Duration;

use dspinlock::{Pool, dspinlock};
use metrics_exporter_prometheus::PrometheusBuilder;
use tracing::Level;
use tracing_subscriber::fmt::format::FmtSpan;

#[dspinlock(key = (run, id), cached_if_computed, ttl = "1m")]
async fn price(run: u32, id: u64) -> Result<u64, dspinlock::Error> {
    tokio::time::sleep(Duration::from_millis(20)).await; // the expensive part
    Ok(id * 3)
}

/// Call it once, at the start of the program. A service returns `render()` at `/metrics`.
fn install() -> Result<metrics_exporter_prometheus::PrometheusHandle, Box<dyn Error>> {
    tracing_subscriber::fmt()
        .with_max_level(Level::DEBUG)
        .with_span_events(FmtSpan::CLOSE)
        .with_ansi(false)
        .with_writer(io::stderr)
        .init();
    Ok(PrometheusBuilder::new().install_recorder()?)
}

/// Makes four calls and prints the metrics. A test reads the output.
#[tokio::main]
pub async fn main() -> Result<(), Box<dyn Error>> {
    let metrics = install()?;
    let pool = match std::env::var("DSPINLOCK_URL") {
        Ok(url) => Pool::open(&url)?,
        Err(_) => Pool::open("sqlite::memory:")?,
    };
    dspinlock::init(pool.clone())?;
    let health = pool.check().await?;
    eprintln!("the store replies in {:?}", health.round_trip);

    let run = std::process::id();
    let (one, two) = tokio::join!(price(run, 1), price(run, 1)); // one computes, the other follows
    assert_eq!((one?, two?), (3, 3));
    assert_eq!(price(run, 1).await?, 3); // a hit
    assert_eq!(price(run, 2).await?, 6);
    print!("{}", metrics.render());
    Ok(())
}
