//! A sync function whose result is computed once and cached. Four threads call it at the same time.
//!
//! Run it: `cargo run --example sync_function`.
//! The store is in memory. Set `DSPINLOCK_URL`, for example to `redis://127.0.0.1`, to use a server.

use std::thread;
use std::time::{Duration, Instant};

use dspinlock::{Pool, dspinlock};

/// Without `key = ...`, all arguments are the key. If the lock fails, `run_unlocked` runs the function without it: the store is
/// down, or another call takes longer than `wait`.
#[dspinlock(cached_if_computed, ttl = "1m", on_error = run_unlocked)]
fn count_words(text: &str) -> usize {
    println!("counting ...");
    thread::sleep(Duration::from_millis(200)); // the expensive part
    text.split_whitespace().count()
}

fn main() -> Result<(), dspinlock::Error> {
    let url = std::env::var("DSPINLOCK_URL").unwrap_or_else(|_| "sqlite::memory:".into());
    dspinlock::init(Pool::open(&url)?)?;

    let text = "one fish two fish red fish blue fish";
    thread::scope(|scope| {
        for number in 1..=4 {
            scope.spawn(move || {
                let start = Instant::now();
                let words = count_words(text);
                println!("thread {number}: {words} words after {:.0?}", start.elapsed());
            });
        }
    });

    let start = Instant::now();
    let words = count_words(text);
    println!("later: {words} words after {:.1?}", start.elapsed());
    Ok(())
}
