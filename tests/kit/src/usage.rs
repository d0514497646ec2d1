//! What a process uses, and how much it may.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a process uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Usage {
    /// Memory of its own, in KiB.
    pub memory: usize,
    /// Open descriptors.
    pub descriptors: usize,
    /// Threads.
    pub threads: usize,
}

impl Usage {
    pub(crate) fn of(process: u32) -> Self {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("a process of Linux");
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let words = line.and_then(|line| line.split_whitespace().next());
            words
                .and_then(|word| word.parse().ok())
                .unwrap_or_else(|| panic!("no {name} in {status}"))
        };
        let descriptors = std::fs::read_dir(format!("/proc/{process}/fd")).expect("a process of our own");
        Self {
            memory: number("RssAnon:"),
            descriptors: descriptors.count(),
            threads: number("Threads:"),
        }
    }
}

/// In a worker: does what [`crate::Worker::limit`] asks for.
pub fn limit_self(order: &str) {
    let (resource, most) = order.split_once(' ').expect("`<resource> <most>`");
    let resource = [Resource::Nofile, Resource::Nproc]
        .into_iter()
        .find(|known| format!("{known:?}") == resource)
        .expect("descriptors or threads");
    let maximum = getrlimit(resource).maximum;
    let current = most.parse().ok().or(maximum);
    setrlimit(resource, Rlimit { current, maximum }).expect("no more than the maximum");
}
