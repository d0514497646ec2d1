//! Files that are not ours, or not of our version: refused, and left byte for byte as they were.

use std::fs;
use std::path::Path;

use dspinlock_runtime::Error;
use rusqlite::Connection;

use crate::{grant, key, open, place};

#[test]
fn a_newer_format_is_refused() {
    let (_folder, path) = place();
    grant(&open(&path).expect("a store"), &key(1), "a");
    let connection = Connection::open(&path).expect("the file");
    connection
        .pragma_update(None, "user_version", 2)
        .expect("a newer file");
    drop(connection);
    let message = refused(&path);
    assert!(
        message.contains("format 2") && message.contains("format 1"),
        "{message}"
    );
}

#[test]
fn a_file_that_is_not_sqlite_is_refused() {
    let (_folder, path) = place();
    for content in [
        b"x".to_vec(),
        b"hello\n".to_vec(),
        vec![0; 600],
        vec![b'y'; 10_000],
    ] {
        fs::write(&path, content).expect("a file");
        refused(&path);
    }
}

#[test]
fn a_database_of_someone_else_is_refused() {
    let (_folder, path) = place();
    let tables = "CREATE TABLE lock (key TEXT); INSERT INTO lock VALUES ('theirs');";
    for (pragma, value) in [("user_version", 0), ("user_version", 1), ("application_id", 77)] {
        let connection = Connection::open(&path).expect("a database");
        connection.execute_batch(tables).expect("a table");
        connection.pragma_update(None, pragma, value).expect("a number");
        drop(connection);
        refused(&path);
        fs::remove_file(&path).expect("the file");
    }
    let connection = Connection::open(&path).expect("a database");
    connection
        .pragma_update(None, "application_id", 77)
        .expect("a number");
    drop(connection);
    refused(&path);
}

#[test]
fn the_log_of_someone_else_is_not_carried_over() {
    let (folder, path) = place();
    let original = folder.path().join("original");
    let connection = Connection::open(&original).expect("a database");
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; CREATE TABLE theirs (content); INSERT INTO theirs VALUES (1);",
        )
        .expect("a table");
    // Copied while open: what a killed process leaves behind.
    let sibling = |path: &Path| path.with_file_name(format!("{}-wal", path.file_name().unwrap().display()));
    fs::copy(&original, &path).expect("a copy");
    fs::copy(sibling(&original), sibling(&path)).expect("a copy of the log");
    let log = fs::read(sibling(&path)).expect("the log");
    assert!(!log.is_empty());
    refused(&path);
    assert_eq!(fs::read(sibling(&path)).expect("the log"), log);
}

#[test]
fn a_half_done_transaction_of_someone_else_is_not_undone() {
    let (folder, path) = place();
    let original = folder.path().join("original");
    let connection = Connection::open(&original).expect("a database");
    // A cache of one page writes into the file before the commit.
    connection
        .execute_batch(
            "CREATE TABLE theirs (content); INSERT INTO theirs VALUES (zeroblob(100000));
             PRAGMA cache_size = 1; BEGIN; UPDATE theirs SET content = randomblob(100000);",
        )
        .expect("half a transaction");
    let journal =
        |path: &Path| path.with_file_name(format!("{}-journal", path.file_name().unwrap().display()));
    fs::copy(&original, &path).expect("a copy");
    fs::copy(journal(&original), journal(&path)).expect("a copy of the journal");
    let before = fs::read(&path).expect("the file");
    // Which of the two errors depends on whether the journal's header was written yet; neither touches anything.
    assert!(open(&path).is_err());
    assert_eq!(fs::read(&path).expect("the file"), before);
    assert!(journal(&path).exists());
}

#[test]
fn an_empty_file_is_taken() {
    let (_folder, path) = place();
    fs::write(&path, b"").expect("a file");
    grant(&open(&path).expect("a store"), &key(1), "a");
}

/// Gives the message.
#[track_caller]
fn refused(path: &Path) -> String {
    let before = fs::read(path).expect("the file");
    let message = match open(path) {
        Err(Error::Configuration(message)) => message,
        other => panic!("not refused: {other:?}"),
    };
    assert_eq!(fs::read(path).expect("the file"), before, "the file was touched");
    assert!(
        message.contains("locks.sqlite") && message.contains("untouched"),
        "{message}"
    );
    message
}
