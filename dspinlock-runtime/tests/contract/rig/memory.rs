//! The store in memory. Its entries cannot be read without the protocol.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dspinlock_runtime::internals::clock::Instant;
use dspinlock_runtime::internals::key::Key;
use dspinlock_runtime::internals::protocol::record::Entry;
use dspinlock_runtime::internals::protocol::{Reply, Request};
use dspinlock_runtime::internals::store::Store;
use dspinlock_runtime::internals::store::memory::Memory as MemoryStore;
use tokio::runtime::Runtime;

use super::{Foreign, Rig, TICK, machine_clock};

/// The store in memory with a clock that the test controls.
pub(crate) struct Memory {
    store: MemoryStore,
    clock: Arc<AtomicU64>,
    runtime: Runtime,
}

impl Memory {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(AtomicU64::new(machine_clock()));
        let injected = Arc::clone(&clock);
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        Self {
            store: MemoryStore::with_clock(Box::new(move || injected.load(Ordering::SeqCst))),
            clock,
            runtime: runtime.expect("a runtime"),
        }
    }
}

impl Rig for Memory {
    fn step(&mut self, key: &Key, request: Request) -> Reply {
        self.clock.fetch_add(TICK, Ordering::SeqCst);
        let reply = self
            .runtime
            .block_on(self.store.step(key, request, Instant::now()));
        reply.expect("the store in memory replies")
    }

    fn put(&mut self, _: &Key, _: &Foreign) {
        unreachable!("the store has no raw access")
    }

    fn entry(&mut self, _: &Key) -> Entry {
        unreachable!("the store has no raw access")
    }

    fn now(&mut self) -> u64 {
        self.clock.load(Ordering::SeqCst)
    }

    fn advance(&mut self, milliseconds: u64) {
        self.clock.fetch_add(milliseconds * 1000, Ordering::SeqCst);
    }

    fn has_raw_access(&self) -> bool {
        false
    }
}
