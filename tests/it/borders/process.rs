//! The child process of a test: this binary, which runs only [`main`].

use std::time::Duration;

use dspinlock_testkit::ChildProcess;

use super::{first_call, matrix, release_time, without_io};
use crate::common::store::Store;

const TASK: &str = "DSPINLOCK_TEST_BORDERS";

/// A cell that hangs fails much earlier.
const SILENT_FOR: Duration = Duration::from_secs(300);

/// Runs the task in a new process on this store, and panics with the failures that the process reports.
pub(super) fn run(task: &str, store: &Store) {
    let child = ChildProcess::own_test(
        "borders::process::main",
        &[(TASK, task), ("DSPINLOCK_URL", &store.url())],
    );
    let mut failures = Vec::new();
    loop {
        let line = child.recv_timeout(SILENT_FOR);
        match line.split_once(' ') {
            Some((">failed", what)) => failures.push(what.to_owned()),
            Some((">note", what)) => println!("{}: {what}", store.url()),
            _ if line == ">end" => break,
            _ => {}
        }
    }
    assert!(
        failures.is_empty(),
        "{task} on {}: {} failures: {failures:#?}",
        store.url(),
        failures.len()
    );
}

/// Not a test: the main function of the child process. In an ordinary run it returns at once.
#[test]
fn main() {
    let Ok(task) = std::env::var(TASK) else {
        return;
    };
    // The test harness has started a line.
    println!();
    match task.as_str() {
        "matrix" => matrix::run(),
        "release_time" => release_time::run(),
        "without_io" => without_io::run(),
        task => first_call::run(task),
    }
    println!(">end");
    // Threads of failed cells may still hang.
    std::process::exit(0);
}

/// Reports a failure to the test.
pub(super) fn fail(what: impl std::fmt::Display) {
    println!(">failed {what}");
}

/// Prints a line in the test's output.
pub(super) fn note(what: impl std::fmt::Display) {
    println!(">note {what}");
}

/// Whether the long suite runs.
pub(super) fn is_long() -> bool {
    std::env::var_os("DSPINLOCK_LONG").is_some_and(|long| long == "1")
}
