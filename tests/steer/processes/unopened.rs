//! `on_store_error = run_unlocked` in a process whose embedded store cannot be opened.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use dspinlock::{Error, dspinlock};
use dspinlock_testkit::eventually;

use super::{Program, heard, say, word};
use crate::common::logs;

const BODY: Duration = Duration::from_millis(50);
const CALLS: usize = 8;

static RUNS: AtomicUsize = AtomicUsize::new(0);
static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// Returns how many bodies run.
#[dspinlock(key = (), on_store_error = run_unlocked)]
fn unlocked() -> Result<usize, Error> {
    let running = RUNNING.fetch_add(1, Ordering::SeqCst) + 1;
    thread::sleep(BODY);
    RUNNING.fetch_sub(1, Ordering::SeqCst);
    Ok(running)
}

#[dspinlock(key = (), cached_if_computed, on_store_error = run_unlocked)]
async fn cached() -> Result<usize, Error> {
    Ok(RUNS.fetch_add(1, Ordering::SeqCst) + 1)
}

#[dspinlock(key = ())]
fn locked() -> Result<(), Error> {
    Ok(())
}

/// The greatest number of bodies that run at the same time.
fn most_at_once() -> usize {
    thread::scope(|threads| {
        let calls: Vec<_> = (0..CALLS).map(|_| threads.spawn(unlocked)).collect();
        let running = calls
            .into_iter()
            .map(|call| call.join().expect("no panic").expect("a run"));
        running.max().expect("a call")
    })
}

fn warnings(text: &str) -> usize {
    logs::lines().iter().filter(|line| line.contains(text)).count()
}

pub(super) fn program(_: &str) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let value = || runtime.block_on(cached()).expect("a value");
    assert_eq!([value(), value(), value()], [1, 2, 3], "nothing is stored");
    assert_eq!(most_at_once(), 1);
    let error = locked().expect_err("the store cannot be opened");
    assert!(matches!(error, Error::EmbeddedNotInitialized { .. }), "{error:?}");
    assert_eq!(warnings("run without the lock until"), 1, "{:?}", logs::lines());
    say("away");
    heard();
    eventually("the store", || (value() == value()).then_some(()));
    assert_eq!(most_at_once(), 1);
    locked().expect("a run");
    assert_eq!(warnings("run without the lock until"), 1, "{:?}", logs::lines());
    eventually("the end of the outage", || {
        (warnings("lock again") == 1).then_some(())
    });
    say("back");
}

#[test]
fn a_file_that_cannot_be_opened_is_an_outage() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let away = folder.path().join("folder");
    fs::write(&away, "").expect("a file");
    let program = Program::start("unopened -", &format!("sqlite:{}/locks.db", word(&away)));
    assert_eq!(program.recv(), "away");
    fs::remove_file(&away).expect("the file");
    program.send("go on");
    assert_eq!(program.recv(), "back");
    assert!(away.join("locks.db").exists());
}
