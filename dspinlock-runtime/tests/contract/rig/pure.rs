//! The reference: `protocol::step` on a map.

use std::collections::HashMap;

use dspinlock_runtime::internals::key::Key;
use dspinlock_runtime::internals::protocol::record::{Record, Slot};
use dspinlock_runtime::internals::protocol::{self, Reply, Request};

use super::{Entry, Foreign, Rig, TICK, machine_clock};

/// `protocol::step` on a map of records.
pub(crate) struct Pure {
    records: HashMap<Key, Record>,
    now: u64,
}

impl Pure {
    pub(crate) fn new() -> Self {
        Self::at(machine_clock())
    }

    pub(crate) fn at(now: u64) -> Self {
        Self {
            records: HashMap::new(),
            now,
        }
    }
}

impl Rig for Pure {
    fn step(&mut self, key: &Key, request: Request) -> Reply {
        self.now += TICK;
        let record = self.records.remove(key).unwrap_or_default();
        let (record, reply) = protocol::step(record, self.now, &request);
        self.records.insert(key.clone(), record);
        reply
    }

    fn put(&mut self, key: &Key, entry: Entry, content: &Foreign) {
        let slot = match content {
            Foreign::Nothing => Slot::Absent,
            Foreign::WrongType => Slot::WrongType,
            Foreign::Bytes(bytes, left) => Slot::Bytes {
                bytes: bytes.clone(),
                until: left.map(|left| self.now / 1000 + left),
            },
        };
        let record = self.records.entry(key.clone()).or_default();
        match entry {
            Entry::State => record.state = slot,
            Entry::Value => record.value = slot,
        }
    }

    fn record(&mut self, key: &Key) -> Record {
        self.records.get(key).cloned().unwrap_or_default().at(self.now)
    }

    fn now(&mut self) -> u64 {
        self.now
    }

    fn advance(&mut self, milliseconds: u64) {
        self.now += milliseconds * 1000;
    }
}
