//! The file of a store: its path, its permissions, its format and its schema. `table` opens it. The file of another program
//! or of another format is never changed.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use etcetera::base_strategy::{BaseStrategy, choose_native_strategy};
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use super::inherited;
use super::open_error::OpenError;
use crate::error::Error;
use crate::rt::clock::Instant;

/// "dspl" in SQLite's header marks a file of this store.
const APPLICATION_ID: i32 = 0x6473_706c;

/// The version of the schema. A file of another version is never changed.
const FORMAT: i32 = 1;

/// `state_until` and `value_until` are in milliseconds since 1970: NULL for an entry without expiry, and 0 for an absent
/// one. A row expires at the greater of the two, or never if one of them is NULL.
///
/// The value is the last column, so that SQLite reads a state without the pages of a large value. The table has row ids, so
/// that the index of the keys stays small.
const SCHEMA: &str = "
    CREATE TABLE lock (
        key         TEXT NOT NULL UNIQUE,
        state_until INTEGER DEFAULT 0,
        value_until INTEGER DEFAULT 0,
        state       BLOB,
        value       BLOB
    );
    CREATE INDEX lock_end ON lock (max(state_until, value_until));
";

/// The size of SQLite's smallest page in bytes.
const MIN_PAGE: u64 = 512;

/// The pause before a busy file is opened again.
const PAUSE: Duration = Duration::from_millis(1);

/// The path of a `sqlite:` URL without one: `dspinlock/locks.sqlite` in the user's state folder, which is
/// `$XDG_STATE_HOME` or `~/.local/state` on Linux.
///
/// # Errors
///
/// [`Error::EmbeddedNotInitialized`] if the user has no home folder.
pub fn default_path() -> Result<PathBuf, Error> {
    let folders = choose_native_strategy().map_err(|_| OpenError::NoHome.into_error("sqlite:"))?;
    // Windows may copy the data folder to other machines, on which the locks would be meaningless, but not the cache folder.
    let fallback = || match cfg!(windows) {
        true => folders.cache_dir(),
        false => folders.data_dir(),
    };
    let folder = folders.state_dir().unwrap_or_else(fallback);
    Ok(folder.join("dspinlock").join("locks.sqlite"))
}

/// The device and inode of the file at a path. Unknown on systems other than Unix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileId(Option<(u64, u64)>);

impl FileId {
    #[cfg(unix)]
    pub(super) fn of(path: &Path) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self(std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino())))
    }

    /// Other systems do not delete or replace an open file.
    #[cfg(not(unix))]
    pub(super) fn of(_: &Path) -> Self {
        Self(None)
    }
}

/// Opens the file, and creates it if it is missing.
pub(super) fn open(path: &Path, time_limit: Duration) -> Result<Connection, OpenError> {
    let _opening = inherited::begin_opening()?;
    // On POSIX, closing any descriptor of a file releases all locks of the process on it. SQLite handles that, so only
    // SQLite opens an existing file. No other thread opens the file while it is created: `inherited` has a lock for that.
    // An absolute path is never one of SQLite's special names, such as ":memory:".
    let file = std::path::absolute(path)?;
    if file.is_dir() {
        return Err(OpenError::Folder);
    }
    create(&file)?;
    let deadline = Instant::now() + time_limit;
    retry_while_busy(deadline, || inspect(&file))?;
    let connection = connect(&file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    retry_while_busy(deadline, || set_up(&connection))?;
    Ok(connection)
}

/// Opens a database in memory.
pub(super) fn memory() -> Result<Connection, OpenError> {
    let _opening = inherited::begin_opening()?;
    let connection = Connection::open_in_memory()?;
    connection.execute_batch(SCHEMA)?;
    Ok(connection)
}

/// Creates the file and its folders for their owner alone. SQLite gives its other files (-wal, -shm) the same mode.
fn create(file: &Path) -> io::Result<()> {
    let (mut folder, mut options) = (DirBuilder::new(), OpenOptions::new());
    #[cfg(unix)]
    {
        std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    if let Some(parent) = file.parent() {
        folder.recursive(true).create(parent)?;
    }
    match options.write(true).create_new(true).open(file) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Checks the file on a read-only connection: with write access, SQLite would modify a foreign file too.
fn inspect(file: &Path) -> Result<(), OpenError> {
    // SQLite treats a file that is shorter than a page as empty, and would overwrite it.
    if (1..MIN_PAGE).contains(&std::fs::metadata(file)?.len()) {
        return Err(OpenError::Foreign);
    }
    let connection = connect(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    snapshot(&connection, is_new).map(drop)
}

/// Opens a connection without a mutex, because one thread uses it, and without SQLite's busy handler. With that handler,
/// reads would wait behind writes, and its pauses grow so long that other processes overtake.
fn connect(file: &Path, access: OpenFlags) -> Result<Connection, OpenError> {
    let connection = Connection::open_with_flags(file, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(Duration::ZERO)?;
    Ok(connection)
}

/// Reads in one transaction, because another process may be creating the tables.
fn snapshot<T>(
    connection: &Connection,
    read: impl FnOnce(&Connection) -> Result<T, OpenError>,
) -> Result<T, OpenError> {
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Deferred)?;
    read(&transaction)
}

/// Whether the file is empty. A file of another program or format is an error.
fn is_new(connection: &Connection) -> Result<bool, OpenError> {
    let number = |sql| connection.query_row(sql, [], |row| row.get::<_, i32>(0));
    let application = number("PRAGMA application_id")?;
    let format = number("PRAGMA user_version")?;
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    match (application, format) {
        (0, 0) if tables == 0 => Ok(true),
        (APPLICATION_ID, FORMAT) => Ok(false),
        (APPLICATION_ID, _) => Err(OpenError::Format {
            found: format,
            known: FORMAT,
        }),
        _ => Err(OpenError::Foreign),
    }
}

fn set_up(connection: &Connection) -> Result<(), OpenError> {
    if connection.is_readonly("main")? {
        return Err(OpenError::Unusable(
            "the file is read-only: check its mode and owner".into(),
        ));
    }
    // If the process that created the file was killed, a file without tables may already be in WAL mode. Other processes
    // that have it open then prevent a change of the mode, and each would wait for the others.
    if snapshot(connection, is_new)? && journal_mode(connection, "PRAGMA journal_mode")? != "wal" {
        // With a journal file, a process that is killed before WAL mode would leave a journal that only a writer can undo.
        connection.pragma_update(None, "journal_mode", "MEMORY")?;
    }
    if journal_mode(connection, "PRAGMA journal_mode = WAL")? != "wal" {
        return Err(OpenError::Unusable(
            "its file system cannot share memory between processes: use a local disk".into(),
        ));
    }
    // With NORMAL, a loss of power may undo the last steps but never corrupts the file. The size limit truncates the log
    // after a checkpoint of large values.
    connection.execute_batch(
        "PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = 16777216; PRAGMA trusted_schema = OFF;",
    )?;
    if snapshot(connection, is_new)? {
        create_tables(connection)?;
    }
    Ok(())
}

fn journal_mode(connection: &Connection, pragma: &str) -> Result<String, OpenError> {
    Ok(connection.query_row(pragma, [], |row| row.get(0))?)
}

fn create_tables(connection: &Connection) -> Result<(), OpenError> {
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    // Another process may have created them in the meantime.
    if is_new(&transaction)? {
        transaction.execute_batch(SCHEMA)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", FORMAT)?;
    }
    Ok(transaction.commit()?)
}

/// Retries until the deadline while other processes keep the file busy.
fn retry_while_busy<T>(deadline: Instant, action: impl Fn() -> Result<T, OpenError>) -> Result<T, OpenError> {
    loop {
        match action() {
            Err(OpenError::Busy) if Instant::now() < deadline => std::thread::sleep(PAUSE),
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_as_path_is_reported_as_a_folder() {
        let folder = std::env::temp_dir();
        let error = open(&folder, Duration::from_secs(1)).expect_err("a folder is not a file");
        let error = error.into_error(folder.display());
        assert!(error.to_string().contains("is a folder"), "{error}");
    }
}
