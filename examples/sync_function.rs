//! A sync function: computed once for each pair of arguments, whoever asks first.
//!
//! `cargo run --example sync_function` (embedded store) or with `DSPINLOCK_URL=redis://host`.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use dspinlock::dspinlock;

/// How often each word occurs. Without `key = ...` all arguments make the key.
#[dspinlock(cached_if_computed, ttl = "1m", on_error = run_unlocked)]
fn count_words(text: &str, shortest: usize) -> BTreeMap<String, u32> {
    println!("  counting ...");
    thread::sleep(Duration::from_millis(200)); // a large text
    let mut counts = BTreeMap::new();
    for word in text.split_whitespace().filter(|word| word.len() >= shortest) {
        *counts.entry(word.to_lowercase()).or_default() += 1;
    }
    counts
}

fn main() -> Result<(), dspinlock::Error> {
    if std::env::var_os("DSPINLOCK_URL").is_none() {
        dspinlock::init(dspinlock::Pool::open("sqlite::memory:")?)?;
    }
    let text = "one fish two fish red fish blue fish";
    thread::scope(|scope| {
        for caller in 1..=4 {
            scope.spawn(move || {
                let start = Instant::now();
                let counts = count_words(text, 4);
                println!("  caller {caller}: {counts:?} after {:.0?}", start.elapsed());
            });
        }
    });
    let start = Instant::now();
    count_words(text, 4);
    println!("  later:    after {:.1?}", start.elapsed());
    Ok(())
}
