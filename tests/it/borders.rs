//! A call or a lease may cross any border of the user's program: another runtime, one that stands still or has ended, a
//! plain thread, another executor, a blocking call inside a task.
//!
//! Annotated functions use the pool of their process, so each test runs in a child process (`process`).

mod cell;
mod first_call;
mod functions;
mod matrix;
mod operation;
mod place;
mod process;
mod release_time;
mod runtime;
mod without_io;

use crate::common::store::Store;

#[test]
fn every_operation_crosses_every_border() {
    Store::on_each(|store| process::run("matrix", &store));
}

#[test]
fn a_dropped_call_or_lease_frees_its_key_whatever_its_runtime_does() {
    Store::on_each(|store| process::run("release_time", &store));
}

/// Another executor blocks the thread of a tokio runtime, which therefore cannot drive anything.
#[test]
fn the_first_call_of_a_process_ends_under_a_foreign_executor_on_a_tokio_thread() {
    for task in first_call::TASKS {
        Store::on_each(|store| process::run(task, &store));
    }
}

/// Such a runtime cannot be recognised, and a socket on it would panic.
#[test]
fn a_pool_without_readers_works_on_a_runtime_without_io() {
    process::run(
        "without_io",
        &Store::Redis(Box::new(dspinlock_testkit::Redis::start())),
    );
}
