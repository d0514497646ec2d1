//! Permissions of the file, and files that cannot be written.
#![cfg(unix)]

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use dspinlock_runtime::Error;
use rusqlite::Connection;
use tempfile::TempDir;

use crate::{child, grant, key, open, temporary_path};

#[test]
fn only_the_owner_can_read_the_folder_and_the_files() {
    let (folder, _) = temporary_path();
    let inner = folder.path().join("state/dspinlock");
    let path = inner.join("locks.sqlite");
    let store = open(&path).expect("the store opens");
    grant(&store, &key(1), "a");
    let mode = |path: &Path| fs::metadata(path).expect("the path exists").mode() & 0o777;
    assert_eq!(mode(&inner), 0o700);
    assert_eq!(mode(inner.parent().expect("the folder has a parent")), 0o700);
    for name in ["locks.sqlite", "locks.sqlite-wal", "locks.sqlite-shm"] {
        assert_eq!(mode(&inner.join(name)), 0o600, "{name}");
    }
}

#[test]
fn an_unusable_path_is_an_error() {
    let (folder, _) = temporary_path();
    let file = folder.path().join("file");
    fs::write(&file, "content").expect("the file can be written");
    for path in [
        file.join("below"),
        "/proc/dspinlock/locks.sqlite".into(),
        folder.path().into(),
    ] {
        match open(&path) {
            Err(Error::EmbeddedNotInitialized { path: shown, .. }) => {
                assert_eq!(shown, path.display().to_string())
            }
            other => panic!("{}: {other:?}", path.display()),
        }
    }
    assert_eq!(fs::read(&file).expect("the file can be read"), b"content");
}

#[test]
fn a_read_only_folder_or_file_is_an_error() {
    let user = User::new();
    let new = user.folder.path().join("new.sqlite");
    let result = user.open(&new);
    assert!(
        result.starts_with("Err(EmbeddedNotInitialized") && result.contains("permission denied"),
        "{result}"
    );
    assert!(!new.exists());

    // The file of another user. Every user may read it.
    let path = user.folder.path().join("locks.sqlite");
    user.while_writable(|| {
        grant(&open(&path).expect("the store opens"), &key(1), "a");
        // The store's thread closes the file with a delay.
        let closed = || !path.with_extension("sqlite-wal").exists();
        dspinlock_testkit::eventually("the file to be closed", || closed().then_some(()));
        fs::set_permissions(&path, Permissions::from_mode(0o444)).expect("the permissions can be set");
    });
    let before = fs::read(&path).expect("the file can be read");
    let result = user.open(&path);
    assert!(result.starts_with("Err(EmbeddedNotInitialized"), "{result}");
    assert_eq!(fs::read(&path).expect("the file can be read"), before);

    user.while_writable(|| {
        fs::set_permissions(&path, Permissions::from_mode(0o000)).expect("the permissions can be set")
    });
    let result = user.open(&path);
    assert!(result.starts_with("Err(EmbeddedNotInitialized"), "{result}");
}

#[test]
fn a_full_disk_is_an_error_and_damages_nothing() {
    let (_folder, path) = temporary_path();
    let inner = child::command(&format!("fill {}", path.display()));
    // Limits the file size to a megabyte. The signal XFSZ is ignored, so that the write fails instead.
    let mut command = Command::new("sh");
    command
        .args(["-c", "trap '' XFSZ; ulimit -f 2048; exec \"$0\" \"$@\""])
        .arg(inner.get_program())
        .args(inner.get_args());
    for (name, value) in inner.get_envs() {
        command.env(name, value.expect("the command sets its variables"));
    }
    let output = command.output().expect("the child starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let printed: Vec<&str> = text
        .lines()
        .filter_map(|line| Some(line.split_once('>')?.1))
        .collect();
    let [refusal, later] = printed.as_slice() else {
        panic!("{text}{}", String::from_utf8_lossy(&output.stderr));
    };
    assert!(
        refusal.starts_with("Some(Refused(") || refusal.starts_with("Some(Unknown("),
        "{refusal}"
    );
    assert_eq!(*later, "Ok(true)", "an earlier value can still be read");
    let connection = Connection::open(&path).expect("the file opens");
    let check = connection.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0));
    assert_eq!(check.expect("a result of the check"), "ok");
}

/// A user who may read a folder but not write to it, even if the tests run as root.
struct User {
    folder: TempDir,
    program: PathBuf,
}

impl User {
    fn new() -> Self {
        let (folder, _) = temporary_path();
        let program = folder.path().join("program");
        // The other user may have no access to the target folder, so the program is copied. `cp` copies it, because the
        // children of other tests would inherit our open descriptor, and a program that is open for writing cannot run.
        let this = std::env::current_exe().expect("the path of this program");
        let copied = Command::new("cp").arg(this).arg(&program).status();
        assert!(copied.is_ok_and(|status| status.success()));
        fs::set_permissions(&program, Permissions::from_mode(0o755)).expect("the permissions can be set");
        let user = Self { folder, program };
        user.while_writable(|| {});
        user
    }

    /// Runs `action` while the folder is writable.
    fn while_writable(&self, action: impl FnOnce()) {
        let set = |mode| fs::set_permissions(self.folder.path(), Permissions::from_mode(mode));
        set(0o755).expect("the permissions can be set");
        action();
        set(0o555).expect("the permissions can be set");
    }

    /// Opens the store as this user and returns the printed result.
    fn open(&self, path: &Path) -> String {
        let is_root = fs::metadata(self.folder.path()).expect("the folder").uid() == 0;
        let inner = child::command(&format!("open {}", path.display()));
        let mut command = match is_root {
            false => Command::new(&self.program),
            true => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
                command.arg(&self.program);
                command
            }
        };
        command.args(inner.get_args());
        for (name, value) in inner.get_envs() {
            command.env(name, value.expect("the command sets its variables"));
        }
        child::output(command)
    }
}

impl Drop for User {
    fn drop(&mut self) {
        // A read-only folder cannot be removed.
        let _ = fs::set_permissions(self.folder.path(), Permissions::from_mode(0o755));
    }
}
