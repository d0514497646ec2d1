//! The file of a store: its path, its permissions and its schema. `table` opens it. The file of another program is never
//! changed, and neither is the table of another format.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use etcetera::base_strategy::{BaseStrategy, choose_native_strategy};
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use super::inherited;
use super::open_error::OpenError;
use super::place::{self, Name};
use crate::error::Error;
use crate::rt::clock::Instant;

/// "dspl" in SQLite's header marks a file of this store.
const APPLICATION_ID: i32 = 0x6473_706c;

/// The table's name carries the letter of the format, so that the tables of several formats live in one file.
///
/// `until` is in milliseconds since 1970: NULL for an entry without expiry. `lifetime` is the time from the write to `until`.
/// The machine's clock may be set back, and an entry must not live longer than that.
///
/// The content is the last column, so that SQLite reads the others without the pages of a large value. The table has row ids,
/// so that the index of the keys stays small.
const SCHEMA: &str = "
    CREATE TABLE lock_a (
        key      TEXT NOT NULL UNIQUE,
        until    INTEGER,
        lifetime INTEGER,
        entry    BLOB
    );
    CREATE INDEX lock_a_until ON lock_a (until);
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

/// Opens the file, and creates it if it is missing. The file counts as open until the name is dropped.
pub(super) fn open(path: &Path, time_limit: Duration) -> Result<(Connection, Arc<Name>), OpenError> {
    let mut names = inherited::begin_opening()?;
    // On POSIX, closing any descriptor of a file releases all locks of the process on it. SQLite handles that, so only
    // SQLite opens an existing file. No other thread opens the file while it is created: `inherited` has a lock for that.
    // An absolute path is never one of SQLite's special names, such as ":memory:".
    let file = std::path::absolute(path)?;
    place::check(&file, &names)?;
    create(&file)?;
    let deadline = Instant::now() + time_limit;
    retry_while_busy(deadline, || inspect(&file))?;
    let connection = connect(&file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    retry_while_busy(deadline, || set_up(&connection))?;
    Ok((connection, names.add(&file)?))
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
    snapshot(&connection, contents).map(drop)
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

/// What the tables of a file are.
#[derive(PartialEq)]
enum Contents {
    /// No program has written the file.
    Nothing,
    /// A version with another format has written it.
    OtherFormat,
    /// This format.
    Known,
}

/// Looks at the tables. The file of another program is an error.
fn contents(connection: &Connection) -> Result<Contents, OpenError> {
    let number = |sql| connection.query_row(sql, [], |row| row.get::<_, i32>(0));
    let application = number("PRAGMA application_id")?;
    match application {
        0 if number("SELECT count(*) FROM sqlite_schema")? == 0 => Ok(Contents::Nothing),
        APPLICATION_ID if number("SELECT count(*) FROM sqlite_schema WHERE name = 'lock_a'")? == 0 => {
            Ok(Contents::OtherFormat)
        }
        APPLICATION_ID => Ok(Contents::Known),
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
    if snapshot(connection, contents)? == Contents::Nothing
        && journal_mode(connection, "PRAGMA journal_mode")? != "wal"
    {
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
    if snapshot(connection, contents)? != Contents::Known {
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
    if contents(&transaction)? != Contents::Known {
        transaction.execute_batch(SCHEMA)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
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
        let opened = open(&folder, Duration::from_secs(1)).map(drop);
        let error = opened.expect_err("a folder is not a file");
        let error = error.into_error(folder.display());
        assert!(error.to_string().contains("is a folder"), "{error}");
    }
}
