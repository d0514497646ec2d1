//! The embedded store, in a file or in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use dspinlock_runtime::internals::clock::Instant;
use dspinlock_runtime::internals::key::Key;
use dspinlock_runtime::internals::protocol::record::{Record, Slot};
use dspinlock_runtime::internals::protocol::{Reply, Request};
use dspinlock_runtime::internals::store::Store;
use dspinlock_runtime::internals::store::embedded::{Clock, Embedded as EmbeddedStore, TIME_LIMIT};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{Entry, Foreign, Rig, TICK, machine_clock};

/// The embedded store with a clock that the test controls, and a second connection to its file.
pub(crate) struct Embedded {
    store: EmbeddedStore,
    clock: Arc<AtomicU64>,
    runtime: Runtime,
    /// `None` if the store is in memory.
    file: Option<(Connection, TempDir)>,
}

impl Embedded {
    pub(crate) fn file() -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let path = folder.path().join("locks.sqlite");
        let (clock, injected) = clock();
        let store =
            EmbeddedStore::open_with_clock(&path, TIME_LIMIT, injected).expect("the store opens a new file");
        let connection = Connection::open(&path).expect("a second connection opens");
        Self::new(store, clock, Some((connection, folder)))
    }

    pub(crate) fn memory() -> Self {
        let (clock, injected) = clock();
        let store = EmbeddedStore::memory_with_clock(injected).expect("a store in memory");
        Self::new(store, clock, None)
    }

    fn new(store: EmbeddedStore, clock: Arc<AtomicU64>, file: Option<(Connection, TempDir)>) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        Self {
            store,
            clock,
            runtime: runtime.expect("a runtime"),
            file,
        }
    }

    fn connection(&self) -> &Connection {
        &self.file.as_ref().expect("the store has a file").0
    }
}

impl Rig for Embedded {
    fn step(&mut self, key: &Key, request: Request) -> Reply {
        self.clock.fetch_add(TICK, Ordering::SeqCst);
        let reply = self
            .runtime
            .block_on(self.store.step(key, request, Instant::now()));
        reply.expect("the embedded store replies")
    }

    fn put(&mut self, key: &Key, entry: Entry, content: &Foreign) {
        let now = self.now() / 1000;
        let (bytes, until) = match content {
            Foreign::Nothing => (Value::Null, Some(0)),
            Foreign::WrongType => (Value::Integer(1), None),
            Foreign::Bytes(bytes, left) => {
                (Value::Blob(bytes.to_vec()), left.map(|left| (now + left) as i64))
            }
        };
        let name = match entry {
            Entry::State => "state",
            Entry::Value => "value",
        };
        let sql = format!(
            "INSERT INTO lock (key, {name}, {name}_until) VALUES (?1, ?2, ?3)
             ON CONFLICT (key) DO UPDATE SET {name} = ?2, {name}_until = ?3"
        );
        let written = self
            .connection()
            .execute(&sql, params![key.state_name(), bytes, until]);
        written.expect("a write without the store");
    }

    fn record(&mut self, key: &Key) -> Record {
        let sql = "SELECT state, state_until, value, value_until FROM lock WHERE key = ?1";
        let record = self
            .connection()
            .query_row(sql, [key.state_name()], |row| {
                Ok(Record {
                    state: slot(row.get(0)?, row.get(1)?),
                    value: slot(row.get(2)?, row.get(3)?),
                })
            })
            .optional();
        let now = self.now();
        record
            .expect("a read without the store")
            .unwrap_or_default()
            .at(now)
    }

    fn now(&mut self) -> u64 {
        self.clock.load(Ordering::SeqCst)
    }

    fn advance(&mut self, milliseconds: u64) {
        self.clock.fetch_add(milliseconds * 1000, Ordering::SeqCst);
    }

    fn has_raw_access(&self) -> bool {
        self.file.is_some()
    }
}

fn slot(content: Value, until: Option<i64>) -> Slot {
    match content {
        Value::Null => Slot::Absent,
        Value::Blob(bytes) => Slot::Bytes {
            bytes: Bytes::from(bytes),
            until: until.map(|until| until as u64),
        },
        _ => Slot::WrongType,
    }
}

fn clock() -> (Arc<AtomicU64>, Clock) {
    let clock = Arc::new(AtomicU64::new(machine_clock()));
    let injected = Arc::clone(&clock);
    (clock, Arc::new(move || injected.load(Ordering::SeqCst)))
}
