//! The first call of a process, under another executor on a thread of a tokio runtime.

use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use futures_executor::block_on;

use super::functions::{Gate, VALUE, compute, lock};
use super::process::{fail, note};
use super::runtime::Flavor;
use crate::common::lock::locked;

pub(super) const TASKS: [&str; 4] = ["a call", "a lock", "a task", "a blocking task"];

/// The time for the first connection, and a margin.
const LIMIT: Duration = Duration::from_secs(3);

pub(super) fn run(task: &str) {
    let (send, ended) = channel();
    let (name, start) = (task.to_owned(), Instant::now());
    thread::spawn(move || {
        match name.as_str() {
            "a call" => Flavor::CurrentThread
                .build(&name)
                .block_on(async { block_on(call()) }),
            "a lock" => Flavor::CurrentThread
                .build(&name)
                .block_on(async { block_on(acquire_and_release()) }),
            "a task" => {
                let runtime = Flavor::MultiThread(1).build(&name);
                let task = runtime.spawn(async { block_on(call()) });
                block_on(task).expect("the task does not panic");
            }
            "a blocking task" => {
                let runtime = Flavor::CurrentThread.build(&name);
                // Nobody drives the runtime.
                let task = runtime.spawn_blocking(|| block_on(acquire_and_release()));
                block_on(task).expect("the task does not panic");
            }
            other => panic!("unknown task {other:?}"),
        }
        // Fails if it took too long.
        let _ = send.send(());
    });
    match ended.recv_timeout(LIMIT) {
        Ok(()) => note(format_args!("{task}: {:.1?}", start.elapsed())),
        Err(error) => fail(format_args!("{task}: {error}")),
    }
}

async fn call() {
    for key in ["first", "second"] {
        assert_eq!(compute(key, &Gate::opened()).await.unwrap(), VALUE);
    }
}

async fn acquire_and_release() {
    for key in ["first", "second"] {
        locked(lock(key).acquire().await).release().await.unwrap();
    }
}
