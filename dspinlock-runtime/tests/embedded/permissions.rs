//! Who may read the file, and what happens where it may not be written.
#![cfg(unix)]

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use dspinlock_runtime::Error;
use rusqlite::Connection;
use tempfile::TempDir;

use crate::{child, grant, key, open, place};

#[test]
fn folder_and_files_are_the_owners_alone() {
    let (folder, _) = place();
    let inner = folder.path().join("state/dspinlock");
    let path = inner.join("locks.sqlite");
    let store = open(&path).expect("a store");
    grant(&store, &key(1), "a");
    let mode = |path: &Path| fs::metadata(path).expect("it is there").mode() & 0o777;
    assert_eq!(mode(&inner), 0o700);
    assert_eq!(mode(inner.parent().expect("a folder")), 0o700);
    for name in ["locks.sqlite", "locks.sqlite-wal", "locks.sqlite-shm"] {
        assert_eq!(mode(&inner.join(name)), 0o600, "{name}");
    }
}

#[test]
fn a_path_that_cannot_be_is_an_error() {
    let (folder, _) = place();
    let file = folder.path().join("file");
    fs::write(&file, "content").expect("a file");
    for path in [
        file.join("below"),
        "/proc/dspinlock/locks.sqlite".into(),
        folder.path().into(),
    ] {
        match open(&path) {
            Err(Error::RedisNotInitialized { address, .. }) => {
                assert_eq!(address, path.display().to_string())
            }
            other => panic!("{}: {other:?}", path.display()),
        }
    }
    assert_eq!(fs::read(&file).expect("the file"), b"content");
}

#[test]
fn a_read_only_folder_or_file_is_an_error() {
    let user = User::new();
    let new = user.folder.path().join("new.sqlite");
    let said = user.opens(&new);
    assert!(
        said.starts_with("Err(RedisNotInitialized") && said.contains("permission denied"),
        "{said}"
    );
    assert!(!new.exists());

    // A store of another user, who lets all others read it.
    let path = user.folder.path().join("locks.sqlite");
    user.unlocked(|| {
        grant(&open(&path).expect("a store"), &key(1), "a");
        // The store's thread closes the file soon.
        let closed = || !path.with_extension("sqlite-wal").exists();
        dspinlock_testkit::eventually("the file to be closed", || closed().then_some(()));
        fs::set_permissions(&path, Permissions::from_mode(0o444)).expect("permissions");
    });
    let before = fs::read(&path).expect("the file");
    let said = user.opens(&path);
    assert!(said.starts_with("Err(RedisNotInitialized"), "{said}");
    assert_eq!(fs::read(&path).expect("the file"), before);

    user.unlocked(|| fs::set_permissions(&path, Permissions::from_mode(0o000)).expect("permissions"));
    let said = user.opens(&path);
    assert!(said.starts_with("Err(RedisNotInitialized"), "{said}");
}

#[test]
fn a_full_disk_is_an_error_and_harms_nothing() {
    let (_folder, path) = place();
    let inner = child::command(&format!("fill {}", path.display()));
    // No file may grow beyond a megabyte; the signal that would kill the process is ignored.
    let mut command = Command::new("sh");
    command
        .args(["-c", "trap '' XFSZ; ulimit -f 2048; exec \"$0\" \"$@\""])
        .arg(inner.get_program())
        .args(inner.get_args());
    for (name, value) in inner.get_envs() {
        command.env(name, value.expect("set, not removed"));
    }
    let output = command.output().expect("the child starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let said: Vec<&str> = text
        .lines()
        .filter_map(|line| Some(line.split_once('>')?.1))
        .collect();
    let [refusal, later] = said.as_slice() else {
        panic!("{text}{}", String::from_utf8_lossy(&output.stderr));
    };
    assert!(
        refusal.starts_with("Some(Refused(") || refusal.starts_with("Some(Unknown("),
        "{refusal}"
    );
    assert_eq!(*later, "Ok(true)", "what was there is still read");
    let connection = Connection::open(&path).expect("the file");
    let verdict = connection.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0));
    assert_eq!(verdict.expect("a verdict"), "ok");
}

/// One who may read a folder but not write to it, also where the tests run as root.
struct User {
    folder: TempDir,
    program: PathBuf,
}

impl User {
    fn new() -> Self {
        let (folder, _) = place();
        let program = folder.path().join("program");
        // Another user may not be able to reach the target folder. Copied by another process: a descriptor of ours would
        // be inherited by the children of other tests, and a program that is open for writing cannot be run.
        let this = std::env::current_exe().expect("this binary");
        let copied = Command::new("cp").arg(this).arg(&program).status();
        assert!(copied.is_ok_and(|status| status.success()));
        fs::set_permissions(&program, Permissions::from_mode(0o755)).expect("permissions");
        let user = Self { folder, program };
        user.unlocked(|| {});
        user
    }

    /// Does something as the folder's owner.
    fn unlocked(&self, action: impl FnOnce()) {
        let set = |mode| fs::set_permissions(self.folder.path(), Permissions::from_mode(mode));
        set(0o755).expect("permissions");
        action();
        set(0o555).expect("permissions");
    }

    fn opens(&self, path: &Path) -> String {
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
            command.env(name, value.expect("set, not removed"));
        }
        child::output(command)
    }
}

impl Drop for User {
    fn drop(&mut self) {
        // Or it could not be removed.
        let _ = fs::set_permissions(self.folder.path(), Permissions::from_mode(0o755));
    }
}
