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
    hidden_name: String,
}

/// How many warnings name the site, the type and the reason.
fn warnings(site: &str, reason: &str) -> usize {
    let is_of_site =
        |line: &&String| line.starts_with("WARN ") && line.contains(site) && line.contains(reason);
    logs::lines().iter().filter(is_of_site).count()
}

#[test]
fn a_value_that_is_not_decoded_is_one_warning() {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    #[dspinlock(cached_if_computed)]
    fn unreadable(id: u32) -> Result<Skipped, Error> {
        RUNS.fetch_add(1, Ordering::Relaxed);
        let hidden_name = "secret".into();
        Ok(Skipped { id, hidden_name })
    }
    const REASON: &str =
        "decoded as `Result<Skipped, Error>`, so it is computed again: the field `hidden_name` is missing";
    logs::capture();
    init_in_memory();
    assert_eq!(unreadable(1).unwrap().hidden_name, "secret");
    // This is a debug build, so the value was tried at once.
    assert_eq!(warnings("::unreadable`", REASON), 1, "{:?}", logs::lines());
    for id in [1, 1, 2] {
        unreadable(id).unwrap();
    }
    assert_eq!(RUNS.load(Ordering::Relaxed), 4);
    assert_eq!(warnings("::unreadable`", REASON), 1, "{:?}", logs::lines());
    assert!(!logs::leaks(None));
}

#[derive(Debug, Serialize, Deserialize)]
enum Reply {
    Known,
    #[serde(skip_deserializing)]
    Added,
}

/// In a debug build.
#[test]
fn each_value_is_tried_when_it_is_stored() {
    #[dspinlock(cached_if_computed)]
    fn reply(is_known: bool) -> Result<Reply, Error> {
        Ok(if is_known { Reply::Known } else { Reply::Added })
    }
    const REASON: &str = "it contains an unknown variant";
    logs::capture();
    init_in_memory();
    reply(true).unwrap();
    assert_eq!(warnings("::reply`", REASON), 0);
    reply(false).unwrap();
    assert_eq!(warnings("::reply`", REASON), 1, "{:?}", logs::lines());
}

#[test]
fn a_value_that_is_nested_too_deep_is_not_stored() {
    #[derive(Debug, Serialize, Deserialize)]
    struct Lists(Vec<Lists>);
    #[dspinlock(key = levels, cached_if_computed)]
    fn nested(levels: u32, runs: &AtomicU32) -> Result<Lists, Error> {
        runs.fetch_add(1, Ordering::SeqCst);
        Ok((1..levels).fold(Lists(vec![]), |inner, _| Lists(vec![inner])))
    }
    init_in_memory();
    logs::capture();
    for (levels, expected) in [(128, 1), (129, 2)] {
        let runs = AtomicU32::new(0);
        assert!(nested(levels, &runs).is_ok() && nested(levels, &runs).is_ok());
        assert_eq!(runs.load(Ordering::SeqCst), expected, "{levels} levels");
    }
    assert_eq!(
        warnings("::nested`", "more than 128 levels deep"),
        1,
        "{:?}",
        logs::lines()
    );
}

/// Three callers of a body of 400 ms: the third one waits twice, which together is longer than its `wait`.
#[test]
fn an_unreadable_value_does_not_restart_the_wait() {
    #[dspinlock(cached_if_computed, key = (), wait = "600ms")]
    fn slow() -> Result<Skipped, Error> {
        thread::sleep(Duration::from_millis(400));
        let hidden_name = "secret".into();
        Ok(Skipped { id: 1, hidden_name })
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
