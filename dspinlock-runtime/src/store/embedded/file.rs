//! The file: where it is, who may read it, and whether it is ours.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use etcetera::base_strategy::{BaseStrategy, choose_native_strategy};
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};

use super::sqlite_error::reason;
use super::table::SCHEMA;
use crate::error::Error;

/// "dspl" in SQLite's header: whose file it is.
const APPLICATION: i32 = 0x6473_706c;

/// The version of the tables. A file of another version is never touched.
const FORMAT: i32 = 1;

/// The length of SQLite's shortest page.
const SHORTEST: u64 = 512;

/// How long to sleep before a busy file is tried again, when it is opened.
const PAUSE: Duration = Duration::from_millis(1);

/// The file that is used where none is named: `dspinlock/locks.sqlite` in the folder for the state of a user's
/// programs, which is `$XDG_STATE_HOME` or `~/.local/state` on Linux.
///
/// # Errors
///
/// [`Error::Configuration`] where the user has no home folder.
pub fn default_path() -> Result<PathBuf, Error> {
    let folders = choose_native_strategy().map_err(|_| {
        Error::Configuration(
            "this user has no home folder for the embedded store: give its path as sqlite:PATH".into(),
        )
    })?;
    // Windows carries the data folder from machine to machine, where locks mean nothing; its cache folder stays.
    let elsewhere = || match cfg!(windows) {
        true => folders.cache_dir(),
        false => folders.data_dir(),
    };
    let folder = folders.state_dir().unwrap_or_else(elsewhere);
    Ok(folder.join("dspinlock").join("locks.sqlite"))
}

/// Which file it is that a path leads to now, where the system can tell without opening it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity(Option<(u64, u64)>);

impl Identity {
    #[cfg(unix)]
    pub(super) fn of(path: &Path) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self(std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino())))
    }

    /// Elsewhere a file that is open cannot be taken away.
    #[cfg(not(unix))]
    pub(super) fn of(_: &Path) -> Self {
        Self(None)
    }
}

/// Opens the file, which is made where it is missing.
pub(super) fn open(path: &Path, time_limit: Duration) -> Result<Connection, Error> {
    // To close any descriptor of a file takes away all locks that the process holds on it (POSIX). So a file is never
    // opened but by SQLite, which knows of that, and one that is just being made is nobody else's yet.
    static OPENING: Mutex<()> = Mutex::new(());
    let _opening = OPENING.lock().unwrap_or_else(PoisonError::into_inner);

    let failed = |error: Trouble| error.on(path);
    // An absolute path is never one of SQLite's special names, such as ":memory:".
    let file = std::path::absolute(path).map_err(|error| failed(error.into()))?;
    make(&file).map_err(|error| failed(error.into()))?;
    let deadline = Instant::now() + time_limit;
    patiently(deadline, || inspect(&file)).map_err(failed)?;
    let connection = connect(&file, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(failed)?;
    patiently(deadline, || set_up(&connection)).map_err(failed)?;
    Ok(connection)
}

/// A store without a file.
pub(super) fn memory() -> Result<Connection, Error> {
    let open = || {
        let connection = Connection::open_in_memory()?;
        connection.execute_batch(SCHEMA)?;
        Ok(connection)
    };
    open().map_err(|error: Trouble| error.on(Path::new(":memory:")))
}

/// Makes what is missing, for its owner alone; SQLite gives its other files (-wal, -shm) the same permissions.
fn make(file: &Path) -> io::Result<()> {
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

/// Looks at the file without the right to write: SQLite would tidy up even in a file that is not ours.
fn inspect(file: &Path) -> Result<(), Trouble> {
    // To SQLite, what is shorter than its shortest page is empty, and may be overwritten.
    if (1..SHORTEST).contains(&std::fs::metadata(file)?.len()) {
        return Err(Trouble::Foreign);
    }
    let connection = connect(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    snapshot(&connection, is_new).map(drop)
}

/// No mutex: a connection is its thread's alone. No waiting inside SQLite: readers would wait with the writers, and its
/// pauses grow so long that others overtake.
fn connect(file: &Path, access: OpenFlags) -> Result<Connection, Trouble> {
    let connection = Connection::open_with_flags(file, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(Duration::ZERO)?;
    Ok(connection)
}

/// Several readings of one moment: another process may be making the tables right now.
fn snapshot<T>(
    connection: &Connection,
    read: impl FnOnce(&Connection) -> Result<T, Trouble>,
) -> Result<T, Trouble> {
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Deferred)?;
    read(&transaction)
}

/// Whether the file is still empty; an error where it is not ours.
fn is_new(connection: &Connection) -> Result<bool, Trouble> {
    let number = |sql| connection.query_row(sql, [], |row| row.get::<_, i32>(0));
    let application = number("PRAGMA application_id")?;
    let format = number("PRAGMA user_version")?;
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    match (application, format) {
        (0, 0) if tables == 0 => Ok(true),
        (APPLICATION, FORMAT) => Ok(false),
        (APPLICATION, _) => Err(Trouble::Format(format)),
        _ => Err(Trouble::Foreign),
    }
}

fn set_up(connection: &Connection) -> Result<(), Trouble> {
    if connection.is_readonly("main")? {
        return Err(Trouble::Unusable("the file is read-only".into()));
    }
    // A file without tables may be in WAL mode already, where its maker was killed. All who have it open hold it in that
    // mode: who asked for another would wait for all the others, and they for him.
    if snapshot(connection, is_new)? && journal_mode(connection, "PRAGMA journal_mode")? != "wal" {
        // Until it is in WAL mode, a process killed here would leave a journal behind that only a writer can undo.
        connection.pragma_update(None, "journal_mode", "MEMORY")?;
    }
    if journal_mode(connection, "PRAGMA journal_mode = WAL")? != "wal" {
        return Err(Trouble::Unusable(
            "its file system cannot share memory between processes".into(),
        ));
    }
    // NORMAL never harms the file; only a loss of power may take the last steps back.
    // The log of large values is cut to this length after it was carried over into the file.
    connection.execute_batch(
        "PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = 16777216; PRAGMA trusted_schema = OFF;",
    )?;
    if snapshot(connection, is_new)? {
        create_tables(connection)?;
    }
    Ok(())
}

fn journal_mode(connection: &Connection, pragma: &str) -> Result<String, Trouble> {
    Ok(connection.query_row(pragma, [], |row| row.get(0))?)
}

fn create_tables(connection: &Connection) -> Result<(), Trouble> {
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    // Another process may have been faster.
    if is_new(&transaction)? {
        transaction.execute_batch(SCHEMA)?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", FORMAT)?;
    }
    Ok(transaction.commit()?)
}

/// Tries again while other processes have the file.
fn patiently<T>(deadline: Instant, action: impl Fn() -> Result<T, Trouble>) -> Result<T, Trouble> {
    loop {
        match action() {
            Err(Trouble::Busy) if Instant::now() < deadline => std::thread::sleep(PAUSE),
            other => return other,
        }
    }
}

/// Why a file cannot be used.
enum Trouble {
    Busy,
    /// A store's file, of another version.
    Format(i32),
    /// Not a store's file.
    Foreign,
    Unusable(String),
}

impl Trouble {
    fn on(self, path: &Path) -> Error {
        let address = path.display().to_string();
        let reason = match self {
            Self::Foreign => {
                return Error::Configuration(format!(
                    "{address} is not a file of the embedded store; it was left untouched"
                ));
            }
            Self::Format(found) => {
                return Error::Configuration(format!(
                    "{address} is of format {found}, this version of dspinlock knows format {FORMAT}; \
                     it was left untouched"
                ));
            }
            Self::Busy => "other processes keep it busy".into(),
            Self::Unusable(reason) => reason,
        };
        Error::RedisNotInitialized { address, reason }
    }
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) {
            return Self::Foreign;
        }
        reason(&error).map_or(Self::Busy, |reason| Self::Unusable(reason.to_string()))
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Unusable(error.kind().to_string())
    }
}
