//! The embedded store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use dspinlock_runtime::internals::clock::Instant;
use dspinlock_runtime::internals::key::Key;
use dspinlock_runtime::internals::protocol::record::Entry;
use dspinlock_runtime::internals::protocol::{Reply, Request};
use dspinlock_runtime::internals::store::Store;
use dspinlock_runtime::internals::store::embedded::{Clock, Embedded as EmbeddedStore, TIME_LIMIT};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{Foreign, Rig, TICK, machine_clock};

/// The embedded store with a clock that the test controls, and a second connection to its file.
pub(crate) struct Embedded {
    store: EmbeddedStore,
    clock: Arc<AtomicU64>,
    runtime: Runtime,
    connection: Connection,
    _folder: TempDir,
}

impl Embedded {
    pub(crate) fn file() -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let path = folder.path().join("locks.sqlite");
        let (clock, injected) = clock();
        let store =
            EmbeddedStore::open_with_clock(&path, TIME_LIMIT, injected).expect("the store opens a new file");
        let connection = Connection::open(&path).expect("a second connection opens");
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        Self {
            store,
            clock,
            runtime: runtime.expect("a runtime"),
            connection,
            _folder: folder,
        }
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

    fn put(&mut self, key: &Key, content: &Foreign) {
        let now = self.now() / 1000;
        let (bytes, left) = match content {
            Foreign::Nothing => (Value::Null, Some(0)),
            Foreign::WrongType => (Value::Integer(1), None),
            Foreign::Bytes(bytes, left) => (Value::Blob(bytes.to_vec()), left.map(|left| left as i64)),
        };
        let until = left.map(|left| now as i64 + left);
        let sql = match content {
            Foreign::Nothing => "DELETE FROM lock_a WHERE key = ?1",
            _ => {
                "INSERT INTO lock_a (key, entry, until, lifetime) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (key) DO UPDATE SET entry = ?2, until = ?3, lifetime = ?4"
            }
        };
        let written = match content {
            Foreign::Nothing => self.connection.execute(sql, [key.name()]),
            _ => self
                .connection
                .execute(sql, params![key.name(), bytes, until, left]),
        };
        written.expect("a write without the store");
    }

    fn entry(&mut self, key: &Key) -> Entry {
        let sql = "SELECT entry, until FROM lock_a WHERE key = ?1";
        let read = |row: &Row<'_>| Ok(entry(row.get(0)?, row.get(1)?));
        let found = self.connection.query_row(sql, [key.name()], read).optional();
        let now = self.now();
        found
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
}

fn entry(content: Value, until: Option<i64>) -> Entry {
    match content {
        Value::Blob(bytes) => Entry::Bytes {
            bytes: Bytes::from(bytes),
            until: until.map(|until| until as u64),
        },
        _ => Entry::WrongType,
    }
}

fn clock() -> (Arc<AtomicU64>, Clock) {
    let clock = Arc::new(AtomicU64::new(machine_clock()));
    let injected = Arc::clone(&clock);
    (clock, Arc::new(move || injected.load(Ordering::SeqCst)))
}
