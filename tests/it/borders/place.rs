//! Where an operation is finished.

use std::thread;

use futures_executor::block_on;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use super::operation::Work;
use super::runtime::{Flavor, each};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    SameRuntime,
    /// In plain threads. Nobody drives the first runtime any more, or all its workers are blocked.
    IdleRuntime,
    OtherRuntime,
    /// In plain threads, while the first runtime is driven.
    Thread,
    /// Under another executor, inside `runtime.enter()`. Nobody drives a current-thread runtime then.
    Entered,
    /// In plain threads, after the first runtime has ended.
    EndedRuntime,
    /// In a task of the first runtime, which it blocks.
    BlockingTwin,
}

impl Place {
    pub(super) const ALL: [Self; 7] = [
        Self::SameRuntime,
        Self::IdleRuntime,
        Self::OtherRuntime,
        Self::Thread,
        Self::Entered,
        Self::EndedRuntime,
        Self::BlockingTwin,
    ];

    /// Finishes what was prepared on `origin`.
    pub(super) fn finish(self, name: &str, flavor: Flavor, origin: Runtime, works: Vec<Work>) {
        match self {
            Self::SameRuntime | Self::BlockingTwin => drop(each(&origin, works.into_iter())),
            Self::IdleRuntime => {
                let _blocked = flavor.block(&origin);
                on_threads(name, works, block_on);
            }
            Self::OtherRuntime => driven(origin, || {
                each(&flavor.build(name), works.into_iter());
            }),
            Self::Thread => driven(origin, || on_threads(name, works, block_on)),
            Self::Entered => on_threads(name, works, |work| {
                let _entered = origin.enter();
                block_on(work);
            }),
            Self::EndedRuntime => {
                drop(origin);
                on_threads(name, works, block_on);
            }
        }
    }
}

/// Calls `f` while a thread drives the runtime.
fn driven(runtime: Runtime, f: impl FnOnce()) {
    let (stop, stopped) = oneshot::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || runtime.block_on(stopped));
        f();
        drop(stop);
    });
}

/// Finishes the works in at most eight threads, each of which finishes its works one after the other.
fn on_threads(name: &str, works: Vec<Work>, finish: impl Fn(Work) + Sync) {
    let mut shares: Vec<Vec<Work>> = (0..8).map(|_| Vec::new()).collect();
    for (at, work) in works.into_iter().enumerate() {
        shares[at % 8].push(work);
    }
    thread::scope(|scope| {
        for share in shares.into_iter().filter(|share| !share.is_empty()) {
            let finish = &finish;
            let thread = thread::Builder::new().name(name.into());
            thread
                .spawn_scoped(scope, move || share.into_iter().for_each(finish))
                .expect("a thread");
        }
    });
}
