//! One row per key, and one step per transaction.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};

use super::Clock;
use super::file::{self, Identity};
use super::sqlite_error::Trouble;
use crate::error::Error;
use crate::protocol::record::{Record, Slot};
use crate::protocol::state::MAX_STATE;
use crate::protocol::value::MAX_HEADER;
use crate::protocol::{self, Reply, Request};
use crate::store::Failure;

/// `until` is a millisecond since 1970, NULL for an entry without expiry, 0 for one that is not there; so the greater
/// of the two is the row's own end, and NULL (never) where one of them has none.
///
/// The value is the last column and the table has row ids: a state is read without walking over the pages of a large
/// value, and the tree of keys stays small.
pub(super) const SCHEMA: &str = "
    CREATE TABLE lock (
        key         TEXT NOT NULL UNIQUE,
        state_until INTEGER DEFAULT 0,
        value_until INTEGER DEFAULT 0,
        state       BLOB,
        value       BLOB
    );
    CREATE INDEX lock_end ON lock (max(state_until, value_until));
";

/// What is longer than was asked for is not read; of a column that is an argument of `octet_length` SQLite reads no more
/// than its length.
const LOAD: &str = "SELECT rowid,
    octet_length(state), CASE WHEN octet_length(state) <= ?2 THEN state END, state_until,
    octet_length(value), CASE WHEN octet_length(value) <= ?3 THEN value END, value_until
    FROM lock WHERE key = ?1";
const SAVE: &str =
    "INSERT INTO lock (key, state, state_until, value, value_until) VALUES (?1, ?2, ?3, ?4, ?5)
    ON CONFLICT (key) DO UPDATE SET state = ?2, state_until = ?3, value = ?4, value_until = ?5";
const SAVE_STATE: &str = "UPDATE lock SET state = ?2, state_until = ?3 WHERE key = ?1";
const SAVE_STATE_AND_END: &str =
    "UPDATE lock SET state = ?2, state_until = ?3, value_until = ?4 WHERE key = ?1";
const DELETE: &str = "DELETE FROM lock WHERE key = ?1";
/// A few rows only, so that no step takes long; as no step adds more than one, they do not pile up.
const SWEEP: &str = "DELETE FROM lock WHERE rowid IN (SELECT rowid FROM lock
    WHERE max(state_until, value_until) < ?1 ORDER BY max(state_until, value_until) LIMIT 4)";
const SWEPT: usize = 4;

/// The open file and the clock.
pub(super) struct Table {
    connection: Connection,
    clock: Clock,
    /// None for a store in memory.
    place: Option<Place>,
    /// SQLite's count of other connections' commits, as last seen.
    version: Option<i64>,
}

/// Where the file is, and which one it was when it was opened.
pub(super) struct Place {
    path: PathBuf,
    identity: Identity,
}

/// A step that was taken.
pub(super) struct Step {
    pub(super) reply: Reply,
    pub(super) changed: bool,
    /// There may be more rows to sweep.
    pub(super) is_dusty: bool,
}

impl Table {
    pub(super) fn open(path: &Path, time_limit: Duration, clock: Clock) -> Result<Self, Error> {
        // A relative path is one of the moment.
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.into());
        let connection = file::open(&absolute, time_limit)?;
        let place = Some(Place {
            identity: Identity::of(&absolute),
            path: absolute,
        });
        Ok(Self {
            connection,
            clock,
            place,
            version: None,
        })
    }

    pub(super) fn memory(clock: Clock) -> Result<Self, Error> {
        Ok(Self {
            connection: file::memory()?,
            clock,
            place: None,
            version: None,
        })
    }

    /// Opens the file anew where it was deleted or replaced: whoever opens it now uses another one. All locks in the old
    /// one are gone with it, as if each had been deleted.
    pub(super) fn follow_file(&mut self, time_limit: Duration) -> Result<(), Trouble> {
        let Some(place) = &mut self.place else {
            return Ok(());
        };
        if Identity::of(&place.path) == place.identity {
            return Ok(());
        }
        self.connection = file::open(&place.path, time_limit).map_err(|error| {
            Trouble::Failed(Failure::NotReady {
                address: place.path.display().to_string(),
                reason: error.to_string(),
            })
        })?;
        place.identity = Identity::of(&place.path);
        // No file has this version: whoever waits is told of a change.
        self.version = self.version.map(|_| -1);
        Ok(())
    }

    /// Takes one step. What turns out to change nothing (a hit, a waiter's look) never asks for the right to write.
    pub(super) fn step(&mut self, key: &str, request: &Request) -> Result<Step, Trouble> {
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
                    is_dusty: false,
                });
            }
        }
        self.write(key, request)
    }

    fn write(&mut self, key: &str, request: &Request) -> Result<Step, Trouble> {
        let transaction = Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)?;
        // The clock is read under the lock: by a clock read before, a step could be older than the one it follows.
        let now = (self.clock)();
        let before = load(&transaction, key, request)?.at(now);
        let (after, reply) = protocol::step(before.clone(), now, request);
        let changed = after != before;
        let mut is_dusty = false;
        if changed {
            save(&transaction, key, &before, &after)?;
            is_dusty = sweep(&transaction, now)?;
        }
        transaction.commit().map_err(Trouble::of_commit)?;
        Ok(Step {
            reply,
            changed,
            is_dusty,
        })
    }

    /// Removes a few rows that are over, and tells whether there may be more.
    pub(super) fn sweep(&mut self) -> Result<bool, Trouble> {
        sweep(&self.connection, (self.clock)())
    }

    /// The next look is the first of its kind: what was before does not count.
    pub(super) fn forget_changes(&mut self) {
        self.version = None;
    }

    /// Whether another connection has committed since this was asked last.
    pub(super) fn was_changed(&mut self) -> bool {
        let version = self
            .connection
            .prepare_cached("PRAGMA data_version")
            .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
            .ok();
        // Where it cannot be known now, the last version seen stays, so that the next look tells.
        version.is_some_and(|new| self.version.replace(new).is_some_and(|old| old != new))
    }
}

fn load(connection: &Connection, key: &str, request: &Request) -> Result<Record, Trouble> {
    let record = connection
        .prepare_cached(LOAD)?
        .query_row(params![key, MAX_STATE as i64, longest(request)], |row| {
            let state = slot(row, 1, || Ok(Bytes::new()))?;
            // In the same transaction, as the row is still being read.
            let value = slot(row, 4, || head(connection, row.get(0)?))?;
            Ok(Record { state, value })
        })
        .optional()?;
    Ok(record.unwrap_or_default())
}

/// How much of a value is read: for all but a hit, a header.
fn longest(request: &Request) -> i64 {
    let bound = match request {
        Request::Read(read) => read.bound,
        Request::Acquire(acquire) => acquire.bound,
        Request::Renew(_) | Request::Publish(_) | Request::Abort { .. } | Request::Delete => 0,
    };
    i64::try_from(bound.max(MAX_HEADER)).unwrap_or(i64::MAX)
}

/// The entry in three columns: its length, its content where that is not too long, its end. A number where bytes belong is
/// what a list is on Redis: there, and of a wrong type.
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

/// Where the header of a long value is.
fn head(connection: &Connection, row: i64) -> rusqlite::Result<Bytes> {
    let value = connection.blob_open("main", "lock", "value", row, true)?;
    let mut head = [0; MAX_HEADER];
    value.read_at_exact(&mut head, 0)?;
    Ok(Bytes::copy_from_slice(&head))
}

fn save(connection: &Connection, key: &str, before: &Record, after: &Record) -> Result<(), Trouble> {
    let (state, state_until) = columns(&after.state);
    let (value, value_until) = columns(&after.value);
    if after.state == Slot::Absent && after.value == Slot::Absent {
        connection.prepare_cached(DELETE)?.execute([key])?;
    } else if after.value == before.value && after.value != Slot::Absent {
        connection
            .prepare_cached(SAVE_STATE)?
            .execute(params![key, state, state_until])?;
    } else if let Slot::Long { .. } = after.value {
        connection.prepare_cached(SAVE_STATE_AND_END)?.execute(params![
            key,
            state,
            state_until,
            value_until
        ])?;
    } else {
        connection
            .prepare_cached(SAVE)?
            .execute(params![key, state, state_until, value, value_until])?;
    }
    Ok(())
}

fn sweep(connection: &Connection, now: u64) -> Result<bool, Trouble> {
    let swept = connection.prepare_cached(SWEEP)?.execute([to_sql(now / 1000)])?;
    Ok(swept == SWEPT)
}

/// A step never writes an entry of a wrong type or one that was not read: it leaves or removes it.
fn columns(slot: &Slot) -> (Option<&[u8]>, Option<i64>) {
    match slot {
        Slot::Absent | Slot::WrongType => (None, Some(0)),
        Slot::Bytes { bytes, until } => (Some(bytes), until.map(to_sql)),
        Slot::Long { until, .. } => (None, until.map(to_sql)),
    }
}

/// Later than every date that SQLite can hold is never.
fn to_sql(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}
