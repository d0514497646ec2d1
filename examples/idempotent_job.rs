//! A job that runs at most once per day, however many schedulers start it.
//!
//! `cargo run --example idempotent_job` (embedded store) or with `DSPINLOCK_URL=redis://host`.

use std::time::Duration;

use dspinlock::{Error, dspinlock};

/// The key stays for a day after the job is done; if it fails or dies, the next scheduler may try.
#[dspinlock(key = "{day}", fail_if_key_exists, ttl = "1d", lease = "5s")]
async fn send_reports(day: &str, scheduler: usize) -> Result<usize, Error> {
    println!("  scheduler {scheduler} sends the reports of {day}");
    let lease = dspinlock::current().expect("the body runs under its lease");
    for part in 0..3 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        if lease.is_lost() {
            break; // paused for too long: another may be at it already
        }
        println!("  part {part}, fence {}", lease.fence()); // a resource refuses a fence lower than the last
    }
    Ok(3)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    if std::env::var_os("DSPINLOCK_URL").is_none() {
        dspinlock::init(dspinlock::Pool::open("sqlite::memory:")?)?;
    }
    let day = format!("day {}", std::process::id()); // a new one for each run of this example
    let (first, second, third) = tokio::join!(
        send_reports(&day, 1),
        send_reports(&day, 2),
        send_reports(&day, 3)
    );
    for outcome in [first, second, third] {
        match outcome {
            Ok(sent) => println!("  sent {sent} parts"),
            Err(Error::FailIfKeyExistsIsEnabled { left, .. }) => println!("  not mine (key stays {left:?})"),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
