//! The table of records: one row per key. It runs `protocol::step` in one transaction per step. `worker` calls it, and
//! handles busy files: this module never waits.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};

use super::file;
use super::open_error::OpenError;
use super::place::{FileId, Name};
use super::sqlite_error::SqliteError;
use crate::key::Key;
use crate::protocol::header::MAX_LINE;
use crate::protocol::record::Entry;
use crate::protocol::{self, Reply, Request};
use crate::store::api::Failure;
#[cfg(feature = "inspect")]
use crate::store::api::{NAMES, Names};

/// Microseconds since 1970.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// An entry that is longer than its bound is not read: for `octet_length`, SQLite reads only the length of a column.
const LOAD: &str = "SELECT rowid, until, lifetime, CASE WHEN octet_length(entry) <= ?2 THEN entry END
    FROM lock_a WHERE key = ?1";
const SAVE: &str = "INSERT INTO lock_a (key, until, lifetime, entry) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (key) DO UPDATE SET until = ?2, lifetime = ?3, entry = ?4";
const SAVE_EXPIRY: &str = "UPDATE lock_a SET until = ?2, lifetime = ?3 WHERE key = ?1";
const DELETE: &str = "DELETE FROM lock_a WHERE key = ?1";
/// Removes a few rows, so that no step takes long. No step adds more than one, so expired rows do not accumulate.
const SWEEP: &str =
    "DELETE FROM lock_a WHERE rowid IN (SELECT rowid FROM lock_a WHERE until < ?1 ORDER BY until LIMIT 4)";
const SWEEP_LIMIT: usize = 4;
#[cfg(feature = "inspect")]
const NAMES_AFTER: &str =
    "SELECT key FROM lock_a WHERE key > ?1 AND key >= ?2 AND (until IS NULL OR until >= ?3)
    ORDER BY key LIMIT ?4";

/// The open file and the clock.
pub(super) struct Table {
    connection: Connection,
    clock: Clock,
    file: OpenFile,
    /// SQLite's counter of commits by other connections, as last seen.
    version: Option<i64>,
}

/// The path of the open file, and the identity that it had when it was opened.
pub(super) struct OpenFile {
    path: PathBuf,
    id: FileId,
    _name: Arc<Name>,
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
        let (connection, name) = file::open(&absolute, time_limit)?;
        let file = OpenFile {
            id: FileId::of(&absolute),
            path: absolute,
            _name: name,
        };
        Ok(Self {
            connection,
            clock,
            file,
            version: None,
        })
    }

    /// Opens the new file if the open one was deleted or replaced, because other processes use the new one. All keys of the
    /// old file count as deleted.
    pub(super) fn follow_file(&mut self, time_limit: Duration) -> Result<(), SqliteError> {
        let open = &mut self.file;
        if FileId::of(&open.path) == open.id {
            return Ok(());
        }
        (self.connection, open._name) = file::open(&open.path, time_limit).map_err(|error| {
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
    pub(super) fn step(&mut self, key: &Key, request: &Request) -> Result<Step, SqliteError> {
        if matches!(
            request,
            Request::Read(_) | Request::Acquire(_) | Request::Abort { .. }
        ) {
            let now = (self.clock)();
            let stored = load(&self.connection, key, now, request)?;
            let (after, reply) = protocol::apply(key, &stored.entry, now, request);
            if after.is_none() && !stored.was_cut {
                return Ok(Step {
                    reply,
                    changed: false,
                    needs_sweep: false,
                });
            }
        }
        self.write(key, request)
    }

    fn write(&mut self, key: &Key, request: &Request) -> Result<Step, SqliteError> {
        let transaction = Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)?;
        // The clock is read under the write lock. Otherwise a step could be older than the step before it.
        let now = (self.clock)();
        let stored = load(&transaction, key, now, request)?;
        let (after, reply) = protocol::apply(key, &stored.entry, now, request);
        let changed = after.is_some();
        let after = after.or(stored.was_cut.then_some(stored.entry));
        let mut needs_sweep = false;
        if let Some(after) = after {
            save(&transaction, key, now, &after)?;
            needs_sweep = sweep(&transaction, now)?;
        }
        transaction.commit().map_err(SqliteError::of_commit)?;
        Ok(Step {
            reply,
            changed,
            needs_sweep,
        })
    }

    /// Some names that begin with `prefix`, behind the name `after`. A read sees a snapshot and waits for no writer.
    #[cfg(feature = "inspect")]
    pub(super) fn names(&self, prefix: &str, after: &str) -> Result<Names, SqliteError> {
        let now = to_sql((self.clock)() / 1000);
        let mut statement = self.connection.prepare_cached(NAMES_AFTER)?;
        let rows = statement.query_map(params![after, prefix, now, NAMES as i64], |row| row.get(0))?;
        let rows: Vec<String> = rows.collect::<Result<_, _>>()?;
        let is_full = rows.len() == NAMES;
        let names: Vec<String> = rows
            .into_iter()
            .take_while(|name| name.starts_with(prefix))
            .collect();
        let rest = names.last().filter(|_| is_full && names.len() == NAMES).cloned();
        Ok(Names { names, rest })
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

/// The entry of a row.
struct Stored {
    entry: Entry,
    /// Its expiry was further away than its lifetime, because the clock was set back since. The row has the old expiry.
    was_cut: bool,
}

fn load(connection: &Connection, key: &Key, now: u64, request: &Request) -> Result<Stored, SqliteError> {
    // Only a hit needs more than the header.
    let bound = i64::try_from(request.bound().max(MAX_LINE)).unwrap_or(i64::MAX);
    let stored = connection
        .prepare_cached(LOAD)?
        .query_row(params![key.name(), bound], |row| read(connection, row, now))
        .optional()?;
    Ok(stored.unwrap_or(Stored {
        entry: Entry::Absent,
        was_cut: false,
    }))
}

/// A number instead of bytes has the wrong type, as a list on Redis has.
fn read(connection: &Connection, row: &Row<'_>, now: u64) -> rusqlite::Result<Stored> {
    let time = |column| {
        Ok::<_, rusqlite::Error>(
            row.get::<_, Option<i64>>(column)?
                .map(|time| u64::try_from(time).unwrap_or(0)),
        )
    };
    let (until, latest) = (
        time(1)?,
        time(2)?.map(|lifetime| (now / 1000).saturating_add(lifetime)),
    );
    let was_cut = until.zip(latest).is_some_and(|(until, latest)| until > latest);
    let until = if was_cut { latest } else { until };
    let entry = match row.get_ref(3)? {
        ValueRef::Blob(bytes) | ValueRef::Text(bytes) => Entry::Bytes {
            bytes: Bytes::copy_from_slice(bytes),
            until,
        },
        ValueRef::Integer(_) | ValueRef::Real(_) => Entry::WrongType,
        // The row is still being read, so this is the same transaction.
        ValueRef::Null => Entry::Long {
            head: head(connection, row.get(0)?)?,
            until,
        },
    };
    Ok(Stored {
        entry: entry.at(now),
        was_cut,
    })
}

/// Reads the first bytes of a long entry, which contain its header.
fn head(connection: &Connection, row: i64) -> rusqlite::Result<Bytes> {
    let entry = connection.blob_open("main", "lock_a", "entry", row, true)?;
    let mut head = [0; MAX_LINE];
    entry.read_at_exact(&mut head, 0)?;
    Ok(Bytes::copy_from_slice(&head))
}

/// Writes the entry after a step. An entry that was not read is kept or removed, but never written.
fn save(connection: &Connection, key: &Key, now: u64, entry: &Entry) -> Result<(), SqliteError> {
    let name = key.name();
    let until = entry.until();
    let lifetime = until.map(|until| to_sql(until.saturating_sub(now / 1000)));
    let until = until.map(to_sql);
    match entry {
        Entry::Absent => connection.prepare_cached(DELETE)?.execute([name])?,
        Entry::Bytes { bytes, .. } => {
            connection
                .prepare_cached(SAVE)?
                .execute(params![name, until, lifetime, bytes.as_ref()])?
        }
        Entry::Long { .. } => connection
            .prepare_cached(SAVE_EXPIRY)?
            .execute(params![name, until, lifetime])?,
        Entry::WrongType => 0,
    };
    Ok(())
}

fn sweep(connection: &Connection, now: u64) -> Result<bool, SqliteError> {
    let swept = connection.prepare_cached(SWEEP)?.execute([to_sql(now / 1000)])?;
    Ok(swept == SWEEP_LIMIT)
}

/// A time that SQLite cannot represent is the latest one that it can.
fn to_sql(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}
