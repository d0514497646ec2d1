//! The resources of a process, and their limits.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The resources that a process uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Usage {
    /// Anonymous memory, in KiB.
    pub memory: usize,
    /// Open file descriptors.
    pub descriptors: usize,
    /// Threads.
    pub threads: usize,
}

impl Usage {
    pub(crate) fn of(process: u32) -> Self {
        let status =
            std::fs::read_to_string(format!("/proc/{process}/status")).expect("`/proc` has the process");
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let words = line.and_then(|line| line.split_whitespace().next());
            words
                .and_then(|word| word.parse().ok())
                .unwrap_or_else(|| panic!("`{name}` is missing in {status}"))
        };
        let descriptors = std::fs::read_dir(format!("/proc/{process}/fd")).expect("the process is ours");
        Self {
            memory: number("RssAnon:"),
            descriptors: descriptors.count(),
            threads: number("Threads:"),
        }
    }
}

/// Applies an order of [`crate::Worker::limit`] to this process.
pub fn apply_limit(order: &str) {
    let (resource, limit) = order.split_once(' ').expect("the order is `<resource> <limit>`");
    let resource = [Resource::Nofile, Resource::Nproc]
        .into_iter()
        .find(|known| format!("{known:?}") == resource)
        .expect("the resource is descriptors or threads");
    let maximum = getrlimit(resource).maximum;
    let current = limit.parse().ok().or(maximum);
    setrlimit(resource, Rlimit { current, maximum }).expect("the limit is at most the maximum");
}
