//! The reference: `protocol::apply` on a map.

use std::collections::HashMap;

use dspinlock_runtime::internals::key::Key;
use dspinlock_runtime::internals::protocol::record::Entry;
use dspinlock_runtime::internals::protocol::{self, Reply, Request};

use super::{Foreign, Rig, TICK, machine_clock};

/// `protocol::apply` on a map of entries.
pub(crate) struct Pure {
    entries: HashMap<Key, Entry>,
    now: u64,
}

impl Pure {
    pub(crate) fn new() -> Self {
        Self::at(machine_clock())
    }

    pub(crate) fn at(now: u64) -> Self {
        Self {
            entries: HashMap::new(),
            now,
        }
    }
}

impl Rig for Pure {
    fn step(&mut self, key: &Key, request: Request) -> Reply {
        self.now += TICK;
        let before = self.entry(key);
        let (after, reply) = protocol::apply(key, &before, self.now, &request);
        if let Some(after) = after {
            self.entries.insert(key.clone(), after);
        }
        reply
    }

    fn put(&mut self, key: &Key, content: &Foreign) {
        let entry = match content {
            Foreign::Nothing => Entry::Absent,
            Foreign::WrongType => Entry::WrongType,
            Foreign::Bytes(bytes, left) => Entry::Bytes {
                bytes: bytes.clone(),
                until: left.map(|left| self.now / 1000 + left),
            },
        };
        self.entries.insert(key.clone(), entry);
    }

    fn entry(&mut self, key: &Key) -> Entry {
        self.entries.get(key).cloned().unwrap_or_default().at(self.now)
    }

    fn now(&mut self) -> u64 {
        self.now
    }

    fn advance(&mut self, milliseconds: u64) {
        self.now += milliseconds * 1000;
    }
}
