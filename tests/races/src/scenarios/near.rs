//! Readers, and changes that overtake them.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use shuttle::sync::atomic::{AtomicU64, Ordering};
use shuttle::thread;

use super::key;
use crate::pool::near_cache::Near;
use crate::store::Listener;

const AGE: Duration = Duration::from_secs(60);

#[derive(Default)]
struct World {
    near: Arc<Near>,
    /// What the server has.
    version: AtomicU64,
    /// The greatest change that this process has been told of.
    heard: AtomicU64,
}

impl World {
    fn recall(&self) -> Option<u64> {
        let recall = |memory: &(dyn Any + Send + Sync)| memory.downcast_ref().copied();
        self.near.recall(&key(), AGE, recall)
    }

    /// A call: nothing that it is handed is older than what was heard before it began.
    fn reads(&self) {
        let heard = self.heard.load(Ordering::SeqCst);
        if let Some(copy) = self.recall() {
            return assert!(copy >= heard, "a copy of {copy} after a change to {heard}");
        }
        if let Some(fill) = self.near.begin(&key()) {
            let read = self.version.load(Ordering::SeqCst);
            fill.land(Arc::new(read));
        }
    }

    /// A change, and how this process is told.
    fn changes(&self, tell: impl FnOnce(&Near)) {
        let version = self.version.fetch_add(1, Ordering::SeqCst) + 1;
        tell(&self.near);
        self.heard.fetch_max(version, Ordering::SeqCst);
    }
}

fn run(tell: fn(&Near)) {
    let world = Arc::new(World::default());
    let readers = [(), ()].map(|()| {
        let world = world.clone();
        thread::spawn(move || {
            world.reads();
            world.reads();
        })
    });
    let writer = {
        let world = world.clone();
        thread::spawn(move || world.changes(tell))
    };
    for thread in readers.into_iter().chain([writer]) {
        thread.join().expect("no reader is handed what is old");
    }
    let (copy, version) = (world.recall(), world.version.load(Ordering::SeqCst));
    assert!(copy.is_none_or(|copy| copy == version), "an old copy stayed");
}

/// A push for the key.
pub fn a_push_drops_what_it_overtakes() {
    run(|near| near.changed(key().value_name().as_bytes()));
}

/// A connection that breaks.
pub fn a_break_drops_what_it_overtakes() {
    run(Near::all_changed);
}

/// A write of this process.
pub fn an_own_write_drops_what_it_overtakes() {
    run(|near| near.forget(&key()));
}
