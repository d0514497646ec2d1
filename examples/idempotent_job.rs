//! A job that succeeds once per day, even if three schedulers start it.
//!
//! Run it: `cargo run --example idempotent_job`.
//! The store is in memory. Set `DSPINLOCK_URL`, for example to `redis://127.0.0.1`, to use a server.

use std::time::Duration;

use dspinlock::{Error, Pool, dspinlock};

/// After the job has run, its key stays for a day, and every other call fails. If the job fails or its process dies, the key
/// becomes free, and the next call runs the job.
#[dspinlock(key = day, fail_if_key_exists, ttl = "1d")]
async fn send_reports(day: &str, scheduler: usize) -> Result<usize, Error> {
    println!("scheduler {scheduler} sends the reports of {day}");
    let lease = dspinlock::current().expect("the body holds a lease");
    let mut sent = 0;
    for number in 1..=3 {
        tokio::time::sleep(Duration::from_millis(50)).await; // sends one report
        if lease.is_lost() {
            break; // another process may have acquired the lock
        }
        // Pass the fence to the mail server or the database, so that it can refuse an older holder.
        println!("report {number} sent, fence {}", lease.fence());
        sent += 1;
    }
    Ok(sent)
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let url = std::env::var("DSPINLOCK_URL").unwrap_or_else(|_| "sqlite::memory:".into());
    dspinlock::init(Pool::open(&url)?)?;

    let day = &format!("day {}", std::process::id()); // a new key for each run of this example
    let (first, second, third) =
        tokio::join!(send_reports(day, 1), send_reports(day, 2), send_reports(day, 3));
    for (scheduler, result) in [(1, first), (2, second), (3, third)] {
        match result {
            Ok(sent) => println!("scheduler {scheduler}: {sent} reports sent"),
            Err(Error::FailIfKeyExistsIsEnabled { .. }) => {
                println!("scheduler {scheduler}: another scheduler has started the job");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
