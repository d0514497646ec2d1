//! Paths on which SQLite would block, or which it would corrupt.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use dspinlock_runtime::Error;

use crate::{child, grant, key, open, temporary_path};

/// Why the path is refused.
#[track_caller]
fn refusal(path: &Path) -> String {
    match open(path) {
        Err(Error::EmbeddedNotInitialized { reason, .. }) => reason,
        other => panic!("{}: {other:?}", path.display()),
    }
}

/// A refused path also has to leave the opening of other paths alone.
#[test]
fn a_fifo_a_device_or_a_socket_is_refused_without_opening_it() {
    let (folder, good) = temporary_path();
    let (fifo, socket) = (folder.path().join("fifo"), folder.path().join("socket"));
    let made = Command::new("mkfifo").arg(&fifo).status().expect("`mkfifo` runs");
    assert!(made.success());
    let listener = UnixListener::bind(&socket).expect("a socket");
    listener.set_nonblocking(true).expect("a socket");
    let link = folder.path().join("link");
    symlink(&fifo, &link).expect("a link");
    for path in [
        &*fifo,
        &*link,
        &*socket,
        Path::new("/dev/null"),
        Path::new("/dev/zero"),
    ] {
        assert!(
            refusal(path).contains("a FIFO, a device or a socket"),
            "{}",
            path.display()
        );
    }
    grant(&open(&good).expect("the store opens"), &key(1), "a");
}

#[test]
fn a_link_to_an_empty_file_is_refused_and_the_file_stays_empty() {
    let (folder, path) = temporary_path();
    let (target, link) = (folder.path().join("purpose"), folder.path().join("link"));
    fs::write(&target, "").expect("the file can be written");
    symlink(&target, &link).expect("a link");
    assert!(refusal(&link).contains("a link to an empty file"));
    assert_eq!(fs::metadata(&target).expect("the file").len(), 0);

    drop(open(&path).expect("a store"));
    fs::remove_file(&link).expect("the link exists");
    symlink(&path, &link).expect("a link");
    let (one, two) = (
        open(&path).expect("a store"),
        open(&link).expect("the same store"),
    );
    grant(&one, &key(1), "a");
    assert!(matches!(
        crate::step(&two, &key(1), crate::acquire("b")),
        Ok(dspinlock_runtime::internals::protocol::Reply::Busy(_))
    ));
}

#[test]
fn a_file_is_open_by_one_of_its_names_at_a_time() {
    let (folder, path) = temporary_path();
    let other = folder.path().join("other.sqlite");
    let store = open(&path).expect("the store opens");
    fs::hard_link(&path, &other).expect("a hard link");
    let reason = refusal(&other);
    let real = fs::canonicalize(&path).expect("the path");
    assert!(reason.contains(&format!("`{}`", real.display())), "{reason}");
    assert!(!folder.path().join("other.sqlite-wal").exists());
    let again = open(&path).expect("the same name");
    drop((store, again));
    // The store's thread closes the file with a delay.
    dspinlock_testkit::eventually("the file to be closed", || open(&other).ok());
}

/// The lock of SQLite belongs to the file, whatever its name.
#[cfg(target_os = "linux")]
#[test]
fn a_file_is_open_by_one_of_its_names_in_all_processes() {
    let (folder, path) = temporary_path();
    let other = folder.path().join("other.sqlite");
    let opened = |path: &Path| child::output(child::command(&format!("open {}", path.display())));
    let store = open(&path).expect("the store opens");
    fs::hard_link(&path, &other).expect("a hard link");
    let result = opened(&other);
    assert!(
        result.contains("another process has the same file open"),
        "{result}"
    );
    assert!(!folder.path().join("other.sqlite-wal").exists());
    assert!(opened(&path).contains("opened"));
    // The child has released no lock of this process.
    assert!(opened(&other).contains("another process"));
    grant(&store, &key(1), "a");
    drop(store);
    dspinlock_testkit::eventually("the file to be closed", || {
        opened(&other).contains("opened").then_some(())
    });
}

/// A file of the same device, which has the same number of the device as its folder.
#[cfg(target_os = "linux")]
#[test]
fn a_file_that_is_mounted_alone_is_refused() {
    let (folder, path) = temporary_path();
    let mounted = folder.path().join("mounted.sqlite");
    drop(open(&path).expect("the store opens"));
    fs::write(&mounted, "").expect("the file can be written");
    let inner = child::command(&format!("open {}", mounted.display()));
    // A mount namespace, so that the mount ends with the child.
    let mut command = Command::new("unshare");
    command
        .args(["--map-root-user", "--mount", "sh", "-c"])
        .arg("mount --bind \"$0\" \"$1\" && shift && exec \"$@\"")
        .args([&path, &mounted])
        .arg(inner.get_program())
        .args(inner.get_args());
    for (name, value) in inner.get_envs() {
        command.env(name, value.expect("the command sets its variables"));
    }
    let result = child::output(command);
    assert!(
        result.starts_with("Err(EmbeddedNotInitialized") && result.contains("mount point"),
        "{result}"
    );
}
