//! Files of other programs: opening them fails and does not change them. And files of another format.

use std::fs;
use std::path::Path;

use dspinlock_runtime::Error;
use rusqlite::Connection;

use crate::{grant, key, open, temporary_path};

#[test]
fn the_table_of_another_format_stays_beside_that_of_this_one() {
    let (_folder, path) = temporary_path();
    grant(&open(&path).expect("the store opens"), &key(1), "a");
    let other = "ALTER TABLE lock_a RENAME TO lock_b; DROP INDEX lock_a_until;";
    let connection = Connection::open(&path).expect("the file opens");
    connection.execute_batch(other).expect("the statements run");
    grant(&open(&path).expect("the store opens"), &key(1), "b");
    for table in ["lock_a", "lock_b"] {
        let sql = format!("SELECT count(*) FROM {table}");
        let rows = connection.query_row(&sql, [], |row| row.get::<_, i64>(0));
        assert_eq!(rows, Ok(1), "{table}");
    }
}

#[test]
fn a_file_that_is_not_sqlite_is_refused() {
    let (_folder, path) = temporary_path();
    for content in [
        b"x".to_vec(),
        b"hello\n".to_vec(),
        vec![0; 600],
        vec![b'y'; 10_000],
    ] {
        fs::write(&path, content).expect("the file can be written");
        assert_refused(&path);
    }
}

#[test]
fn a_foreign_database_is_refused() {
    let (_folder, path) = temporary_path();
    let tables = "CREATE TABLE lock (key TEXT); INSERT INTO lock VALUES ('theirs');";
    for (pragma, value) in [("user_version", 0), ("user_version", 1), ("application_id", 77)] {
        let connection = Connection::open(&path).expect("the database opens");
        connection.execute_batch(tables).expect("the statements run");
        connection
            .pragma_update(None, pragma, value)
            .expect("the pragma can be set");
        drop(connection);
        assert_refused(&path);
        fs::remove_file(&path).expect("the file exists");
    }
    let connection = Connection::open(&path).expect("the database opens");
    connection
        .pragma_update(None, "application_id", 77)
        .expect("the pragma can be set");
    drop(connection);
    assert_refused(&path);
}

#[test]
fn the_wal_of_a_foreign_database_is_not_checkpointed() {
    let (folder, path) = temporary_path();
    let original = folder.path().join("original");
    let connection = Connection::open(&original).expect("the database opens");
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; CREATE TABLE theirs (content); INSERT INTO theirs VALUES (1);",
        )
        .expect("the statements run");
    // A copy of open files looks like the files of a killed process.
    let wal_of = |path: &Path| path.with_file_name(format!("{}-wal", path.file_name().unwrap().display()));
    fs::copy(&original, &path).expect("the file can be copied");
    fs::copy(wal_of(&original), wal_of(&path)).expect("the WAL can be copied");
    let wal = fs::read(wal_of(&path)).expect("the WAL can be read");
    assert!(!wal.is_empty());
    assert_refused(&path);
    assert_eq!(fs::read(wal_of(&path)).expect("the WAL can be read"), wal);
}

#[test]
fn the_journal_of_a_foreign_database_is_not_rolled_back() {
    let (folder, path) = temporary_path();
    let original = folder.path().join("original");
    let connection = Connection::open(&original).expect("the database opens");
    // With a cache of one page, SQLite writes to the file before the commit.
    connection
        .execute_batch(
            "CREATE TABLE theirs (content); INSERT INTO theirs VALUES (zeroblob(100000));
             PRAGMA cache_size = 1; BEGIN; UPDATE theirs SET content = randomblob(100000);",
        )
        .expect("the statements run");
    let journal_of =
        |path: &Path| path.with_file_name(format!("{}-journal", path.file_name().unwrap().display()));
    fs::copy(&original, &path).expect("the file can be copied");
    fs::copy(journal_of(&original), journal_of(&path)).expect("the journal can be copied");
    let before = fs::read(&path).expect("the file can be read");
    // There are two possible errors, depending on whether the journal has a header. Neither changes a file.
    assert!(open(&path).is_err());
    assert_eq!(fs::read(&path).expect("the file can be read"), before);
    assert!(journal_of(&path).exists());
}

#[test]
fn an_empty_file_is_initialized() {
    let (_folder, path) = temporary_path();
    fs::write(&path, b"").expect("the file can be written");
    grant(&open(&path).expect("the store opens"), &key(1), "a");
}

/// Asserts that opening fails and does not change the file. Returns the message.
#[track_caller]
fn assert_refused(path: &Path) -> String {
    let before = fs::read(path).expect("the file can be read");
    let message = match open(path) {
        Err(error @ Error::EmbeddedNotInitialized { .. }) => error.to_string(),
        other => panic!("expected an error, got {other:?}"),
    };
    assert_eq!(
        fs::read(path).expect("the file can be read"),
        before,
        "the file was changed"
    );
    assert!(
        message.contains("locks.sqlite") && message.contains("not changed"),
        "{message}"
    );
    message
}
