//! Values that are stored, but cannot be decoded.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dspinlock::{Error, dspinlock};
use serde::{Deserialize, Serialize};

use crate::common::logs;
use crate::common::store::init_in_memory;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Skipped {
    id: u32,
    #[serde(skip_serializing)]
    secret_name: String,
}

fn warnings(site: &str) -> usize {
    let is_of_site =
        |line: &&String| line.starts_with("WARN ") && line.contains(site) && line.contains("Skipped");
    logs::lines().iter().filter(is_of_site).count()
}

#[test]
fn a_value_that_is_not_decoded_is_one_warning() {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    #[dspinlock(cached_if_computed)]
    fn unreadable(id: u32) -> Result<Skipped, Error> {
        RUNS.fetch_add(1, Ordering::Relaxed);
        let secret_name = "secret".into();
        Ok(Skipped { id, secret_name })
    }
    logs::capture();
    init_in_memory();
    assert_eq!(unreadable(1).unwrap().secret_name, "secret");
    // This is a debug build, so the value was tried at once.
    assert_eq!(warnings("::unreadable`"), 1, "{:?}", logs::lines());
    for id in [1, 1, 2] {
        unreadable(id).unwrap();
    }
    assert_eq!(RUNS.load(Ordering::Relaxed), 4);
    assert_eq!(warnings("::unreadable`"), 1, "{:?}", logs::lines());
    assert!(!logs::leaks(None));
}

/// Three callers of a body of 400 ms: the third one waits twice, which together is longer than its `wait`.
#[test]
fn an_unreadable_value_does_not_restart_the_wait() {
    #[dspinlock(cached_if_computed, key = (), wait = "600ms")]
    fn slow() -> Result<Skipped, Error> {
        thread::sleep(Duration::from_millis(400));
        let secret_name = "secret".into();
        Ok(Skipped { id: 1, secret_name })
    }
    init_in_memory();
    let start = Instant::now();
    let outcomes: Vec<_> = thread::scope(|scope| {
        let calls: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let outcome = slow();
                    (outcome, start.elapsed())
                })
            })
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    let failed = |outcome: &&(Result<Skipped, Error>, Duration)| {
        matches!(outcome.0, Err(Error::SpinlockTriesExceeded { .. }))
    };
    assert_eq!(outcomes.iter().filter(failed).count(), 2, "{outcomes:?}");
    // Restarted, the waits would end after more than 1 s.
    let late = outcomes
        .iter()
        .filter(failed)
        .map(|(_, after)| *after)
        .max()
        .unwrap();
    assert!(late < Duration::from_millis(900), "{late:?}");
}
