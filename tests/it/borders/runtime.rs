//! The runtimes of users, and how they stand still.

use std::sync::{Arc, Barrier};

use tokio::runtime::{Builder, Runtime};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flavor {
    CurrentThread,
    /// With this number of workers.
    MultiThread(usize),
}

impl Flavor {
    pub(super) const ALL: [Self; 4] = [
        Self::CurrentThread,
        Self::MultiThread(1),
        Self::MultiThread(2),
        Self::MultiThread(4),
    ];

    /// Its threads have this name, so that their panics name the cell.
    pub(super) fn build(self, name: &str) -> Runtime {
        let mut builder = match self {
            Self::CurrentThread => Builder::new_current_thread(),
            Self::MultiThread(workers) => {
                let mut builder = Builder::new_multi_thread();
                builder.worker_threads(workers);
                builder
            }
        };
        builder.thread_name(name).enable_all().build().expect("a runtime")
    }

    /// Blocks every worker of the runtime until the returned guard is dropped. A current-thread runtime has none.
    pub(super) fn block(self, runtime: &Runtime) -> Blocked {
        let workers = match self {
            Self::CurrentThread => 0,
            Self::MultiThread(workers) => workers,
        };
        let (begin, end) = (
            Arc::new(Barrier::new(workers + 1)),
            Arc::new(Barrier::new(workers + 1)),
        );
        for _ in 0..workers {
            let (begin, end) = (begin.clone(), end.clone());
            runtime.spawn(async move {
                begin.wait();
                end.wait();
            });
        }
        begin.wait();
        Blocked(end)
    }
}

pub(super) struct Blocked(Arc<Barrier>);

impl Drop for Blocked {
    fn drop(&mut self) {
        self.0.wait();
    }
}

/// Runs `n` tasks on the runtime, and returns their outputs.
pub(super) fn each<F>(runtime: &Runtime, tasks: impl Iterator<Item = F>) -> Vec<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    runtime.block_on(async {
        let tasks: Vec<_> = tasks.map(tokio::spawn).collect();
        let mut outputs = Vec::new();
        for task in tasks {
            outputs.push(task.await.expect("no task panicked"));
        }
        outputs
    })
}
