//! The table of records: one row per key. It runs `protocol::step` in one transaction per step. `worker` calls it, and
//! handles busy files: this module never waits.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};

use super::file::{self, FileId};
use super::open_error::OpenError;
use super::sqlite_error::SqliteError;
use crate::protocol::record::{Record, Slot};
use crate::protocol::state::MAX_STATE;
use crate::protocol::value::MAX_HEADER;
use crate::protocol::{self, Reply, Request};
use crate::store::api::Failure;

/// Microseconds since 1970.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// An entry that is longer than its bound is not read: for `octet_length`, SQLite reads only the length of a column.
const LOAD: &str = "SELECT rowid,
    octet_length(state), CASE WHEN octet_length(state) <= ?2 THEN state END, state_until,
    octet_length(value), CASE WHEN octet_length(value) <= ?3 THEN value END, value_until
    FROM lock WHERE key = ?1";
const SAVE: &str =
    "INSERT INTO lock (key, state, state_until, value, value_until) VALUES (?1, ?2, ?3, ?4, ?5)
    ON CONFLICT (key) DO UPDATE SET state = ?2, state_until = ?3, value = ?4, value_until = ?5";
const SAVE_STATE: &str = "UPDATE lock SET state = ?2, state_until = ?3 WHERE key = ?1";
const SAVE_STATE_AND_EXPIRY: &str =
    "UPDATE lock SET state = ?2, state_until = ?3, value_until = ?4 WHERE key = ?1";
const DELETE: &str = "DELETE FROM lock WHERE key = ?1";
/// Removes a few rows, so that no step takes long. No step adds more than one, so expired rows do not accumulate.
const SWEEP: &str = "DELETE FROM lock WHERE rowid IN (SELECT rowid FROM lock
    WHERE max(state_until, value_until) < ?1 ORDER BY max(state_until, value_until) LIMIT 4)";
const SWEEP_LIMIT: usize = 4;

/// The open file and the clock.
pub(super) struct Table {
    connection: Connection,
    clock: Clock,
    /// `None` for a store in memory.
    file: Option<OpenFile>,
    /// SQLite's counter of commits by other connections, as last seen.
    version: Option<i64>,
}

/// The path of the open file, and the identity that it had when it was opened.
pub(super) struct OpenFile {
    path: PathBuf,
    id: FileId,
}

/// An executed step.
pub(super) struct Step {
    pub(super) reply: Reply,
    pub(super) changed: bool,
    /// There may be more expired rows.
    pub(super) needs_sweep: bool,
}

impl Table {
    pub(super) fn open(path: &Path, time_limit: Duration, clock: Clock) -> Result<Self, OpenError> {
        // A relative path depends on the current directory, which can change.
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.into());
        let connection = file::open(&absolute, time_limit)?;
        let file = Some(OpenFile {
            id: FileId::of(&absolute),
            path: absolute,
        });
        Ok(Self {
            connection,
            clock,
            file,
            version: None,
        })
    }

    pub(super) fn memory(clock: Clock) -> Result<Self, OpenError> {
        Ok(Self {
            connection: file::memory()?,
            clock,
            file: None,
            version: None,
        })
    }

    /// Opens the new file if the open one was deleted or replaced, because other processes use the new one. All keys of the
    /// old file count as deleted.
    pub(super) fn follow_file(&mut self, time_limit: Duration) -> Result<(), SqliteError> {
        let Some(open) = &mut self.file else {
            return Ok(());
        };
        if FileId::of(&open.path) == open.id {
            return Ok(());
        }
        self.connection = file::open(&open.path, time_limit).map_err(|error| {
            SqliteError::Failed(Failure::FileNotReady {
                path: open.path.display().to_string(),
                reason: error.reason(),
            })
        })?;
        open.id = FileId::of(&open.path);
        // No file has this version, so the next poll wakes every waiter.
        self.version = self.version.map(|_| -1);
        Ok(())
    }

    /// Executes one step. A step that changes nothing, such as a hit, takes no write lock.
    pub(super) fn step(&mut self, key: &str, request: &Request) -> Result<Step, SqliteError> {
        if matches!(
            request,
            Request::Read(_) | Request::Acquire(_) | Request::Abort { .. }
        ) {
            let now = (self.clock)();
            let before = load(&self.connection, key, request)?.at(now);
            let (after, reply) = protocol::step(before.clone(), now, request);
            if after == before || matches!(request, Request::Read(_)) {
                return Ok(Step {
                    reply,
                    changed: false,
                    needs_sweep: false,
                });
            }
        }
        self.write(key, request)
    }

    fn write(&mut self, key: &str, request: &Request) -> Result<Step, SqliteError> {
        let transaction = Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)?;
        // The clock is read under the write lock. Otherwise a step could be older than the step before it.
        let now = (self.clock)();
        let before = load(&transaction, key, request)?.at(now);
        let (after, reply) = protocol::step(before.clone(), now, request);
        let changed = after != before;
        let mut needs_sweep = false;
        if changed {
            save(&transaction, key, &before, &after)?;
            needs_sweep = sweep(&transaction, now)?;
        }
        transaction.commit().map_err(SqliteError::of_commit)?;
        Ok(Step {
            reply,
            changed,
            needs_sweep,
        })
    }

    /// Removes a few expired rows. Returns whether there may be more.
    pub(super) fn sweep(&mut self) -> Result<bool, SqliteError> {
        sweep(&self.connection, (self.clock)())
    }

    /// Makes the next [`was_changed`](Self::was_changed) return `false`: it only remembers the version.
    pub(super) fn forget_changes(&mut self) {
        self.version = None;
    }

    /// Whether another connection has committed since the last call.
    pub(super) fn was_changed(&mut self) -> bool {
        let version = self
            .connection
            .prepare_cached("PRAGMA data_version")
            .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
            .ok();
        // After an error the last version stays, so that the next poll finds the change.
        version.is_some_and(|new| self.version.replace(new).is_some_and(|old| old != new))
    }
}

fn load(connection: &Connection, key: &str, request: &Request) -> Result<Record, SqliteError> {
    let record = connection
        .prepare_cached(LOAD)?
        .query_row(params![key, MAX_STATE as i64, bound(request)], |row| {
            let state = slot(row, 1, || Ok(Bytes::new()))?;
            // The row is still being read, so this is the same transaction.
            let value = slot(row, 4, || head(connection, row.get(0)?))?;
            Ok(Record { state, value })
        })
        .optional()?;
    Ok(record.unwrap_or_default())
}

/// How many bytes of a value are read. Only a hit needs more than the header.
fn bound(request: &Request) -> i64 {
    let bytes = match request {
        Request::Read(read) => read.bound,
        Request::Acquire(acquire) => acquire.bound,
        Request::Renew(_) | Request::Publish(_) | Request::Abort { .. } | Request::Delete => 0,
    };
    i64::try_from(bytes.max(MAX_HEADER)).unwrap_or(i64::MAX)
}

/// Reads an entry from three columns: its length, its content unless it is too long, and its expiry. A number instead of
/// bytes has the wrong type, as a list on Redis has.
fn slot(
    row: &Row<'_>,
    column: usize,
    head: impl FnOnce() -> rusqlite::Result<Bytes>,
) -> rusqlite::Result<Slot> {
    let Some(length) = row.get::<_, Option<i64>>(column)? else {
        return Ok(Slot::Absent);
    };
    let until = match row.get_ref(column + 2)? {
        ValueRef::Integer(until) => Some(u64::try_from(until).unwrap_or(0)),
        _ => None,
    };
    Ok(match row.get_ref(column + 1)? {
        ValueRef::Blob(bytes) | ValueRef::Text(bytes) => Slot::Bytes {
            bytes: Bytes::copy_from_slice(bytes),
            until,
        },
        ValueRef::Integer(_) | ValueRef::Real(_) => Slot::WrongType,
        ValueRef::Null => Slot::Long {
            head: head()?,
            length: usize::try_from(length).unwrap_or(usize::MAX),
            until,
        },
    })
}

/// Reads the first bytes of a long value, which contain its header.
fn head(connection: &Connection, row: i64) -> rusqlite::Result<Bytes> {
    let value = connection.blob_open("main", "lock", "value", row, true)?;
    let mut head = [0; MAX_HEADER];
    value.read_at_exact(&mut head, 0)?;
    Ok(Bytes::copy_from_slice(&head))
}

fn save(connection: &Connection, key: &str, before: &Record, after: &Record) -> Result<(), SqliteError> {
    let (state, state_until) = columns(&after.state);
    let (value, value_until) = columns(&after.value);
    if after.state == Slot::Absent && after.value == Slot::Absent {
        connection.prepare_cached(DELETE)?.execute([key])?;
    } else if after.value == before.value && after.value != Slot::Absent {
        connection
            .prepare_cached(SAVE_STATE)?
            .execute(params![key, state, state_until])?;
    } else if let Slot::Long { .. } = after.value {
        connection
            .prepare_cached(SAVE_STATE_AND_EXPIRY)?
            .execute(params![key, state, state_until, value_until])?;
    } else {
        connection
            .prepare_cached(SAVE)?
            .execute(params![key, state, state_until, value, value_until])?;
    }
    Ok(())
}

fn sweep(connection: &Connection, now: u64) -> Result<bool, SqliteError> {
    let swept = connection.prepare_cached(SWEEP)?.execute([to_sql(now / 1000)])?;
    Ok(swept == SWEEP_LIMIT)
}

/// The columns of an entry. An entry of the wrong type, or one that was not read, is kept or removed, but never written.
fn columns(slot: &Slot) -> (Option<&[u8]>, Option<i64>) {
    match slot {
        Slot::Absent | Slot::WrongType => (None, Some(0)),
        Slot::Bytes { bytes, until } => (Some(bytes), until.map(to_sql)),
        Slot::Long { until, .. } => (None, until.map(to_sql)),
    }
}

/// A time that SQLite cannot represent is the latest one that it can.
fn to_sql(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}
