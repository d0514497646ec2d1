//! Error messages of the stores: each names the step that failed, and none shows what a server has quoted.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use dspinlock::{Error, HashDSpinlock, Pool};
use dspinlock_testkit::Redis;

/// The error of the first step at `url`.
fn first_error(url: &str) -> Error {
    Pool::open(url)
        .and_then(|pool| HashDSpinlock::new("key").pool(&pool).acquire_blocking())
        .map(|_| ())
        .expect_err(url)
}

#[track_caller]
fn assert_shows(error: &Error, parts: &[&str]) {
    let message = error.to_string();
    for part in parts {
        assert!(message.contains(part), "{part} is not in: {message}");
    }
}

/// A server that answers every argument of every command with this error reply.
fn server_that_replies(line: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let lines = BufReader::new(stream.try_clone().unwrap()).lines();
                for request in lines.map_while(Result::ok) {
                    if request.starts_with('*') {
                        let _ = write!(stream, "-{line}\r\n");
                    }
                }
            });
        }
    });
    format!("redis://:secret@127.0.0.1:{port}")
}

#[test]
fn a_missing_database_is_reported_as_a_failed_select() {
    let server = Redis::start();
    let error = first_error(&format!("{}/99", server.url().trim_end_matches('/')));
    assert_shows(&error, &["`SELECT` failed", "`ERR`"]);
}

#[test]
fn a_failed_login_names_the_step_and_the_code() {
    let server = Redis::with_args(&["--requirepass", "right"]);
    assert_shows(&first_error(&server.url()), &["`HELLO` failed", "`NOAUTH`"]);
    let wrong = first_error(&server.url_for("", "secret"));
    assert_shows(&wrong, &["`HELLO` failed", "`WRONGPASS`"]);
}

#[test]
fn the_reply_to_a_login_is_not_shown() {
    for (line, command) in [
        (
            "ERR unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'default' 'secret'",
            "AUTH",
        ),
        ("secret", "HELLO"),
        ("WRONGPASS secret", "HELLO"),
    ] {
        let error = first_error(&server_that_replies(line));
        assert_shows(&error, &[&format!("`{command}` failed")]);
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("secret"), "{shown}");
    }
}

#[test]
fn a_missing_permission_names_the_command() {
    let server = Redis::start();
    let rules = ["+@all", "-evalsha", "-eval", "~*"];
    let mut command = vec!["ACL", "SETUSER", "reader", "on", ">right"];
    command.extend(rules);
    server.raw(&command);
    let error = first_error(&server.url_for("reader", "right"));
    assert_shows(&error, &["permission denied", "`eval", "`ACL SETUSER`"]);
}

#[cfg(feature = "embedded")]
#[test]
fn a_folder_as_sqlite_path_is_reported_as_a_folder() {
    let folder = std::env::temp_dir();
    assert_shows(
        &first_error(&format!("sqlite:{}", folder.display())),
        &["it is a folder"],
    );
}

#[cfg(feature = "embedded")]
#[test]
fn a_file_as_a_folder_of_a_sqlite_path_is_reported_as_a_file() {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let shown = file.path().display();
    for below in ["locks.db", "folder/locks.db"] {
        let error = first_error(&format!("sqlite:{shown}/{below}"));
        assert_shows(&error, &[&format!("`{shown}` is a file, not a folder")]);
    }
}
