//! The embedded store: its files, and processes that are killed.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use dspinlock::Pool;
use dspinlock_testkit::{Job, Python, Worker, join_calls, start_calls};

use crate::common::logs::{self, assert_error};
use crate::common::store::first_error;

#[test]
fn without_a_url_the_store_is_in_the_users_state_folder_with_one_warning() {
    let home = tempfile::tempdir().unwrap();
    let environment = [("XDG_STATE_HOME", home.path().to_str().unwrap())];
    let worker = Worker::without_url(&environment);
    let other = Worker::without_url(&environment);
    let job = Job::new("cached", "key");
    let value = worker.call(&job).result();
    assert_eq!(
        other.call(&job).outcome(),
        (0, value),
        "processes of one machine do not share the store"
    );
    assert_eq!(
        worker
            .logs()
            .iter()
            .filter(|line| line.contains("`DSPINLOCK_URL` is not set"))
            .count(),
        1
    );
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let folder = home.path().join("dspinlock");
    assert_eq!(mode(&folder), 0o700);
    for file in fs::read_dir(&folder).unwrap() {
        let path = file.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

/// A worker of another program: a copy of this one.
fn other_program(home: &Path, variables: &str, url: &str) -> Worker {
    let copy = home.join("other");
    let script = format!(
        "cp \"$0\" {copy}; exec env XDG_STATE_HOME={home} {variables} {copy} \"$@\"",
        copy = copy.display(),
        home = home.display()
    );
    Worker::wrapped(&["sh", "-c", &script], url)
}

fn this_program(home: &Path, variables: &[(&str, &str)], url: &str) -> Worker {
    let home = [("XDG_STATE_HOME", home.to_str().unwrap())];
    Worker::with_env(url, &[&home[..], variables].concat())
}

#[test]
fn two_programs_share_results_only_in_one_namespace() {
    let home = tempfile::tempdir().unwrap();
    let named = format!("sqlite:{}/named.db", home.path().display());
    let billing = ("DSPINLOCK_NAMESPACE", "billing");
    let executable = std::env::current_exe().unwrap();
    for (url, variable, of_other, shares, namespace) in [
        ("sqlite:", None, "", false, executable.to_str().unwrap()),
        (
            "sqlite:",
            Some(billing),
            "DSPINLOCK_NAMESPACE=billing",
            true,
            "billing",
        ),
        (
            "sqlite:",
            Some(("DSPINLOCK_NAMESPACE", "none")),
            "DSPINLOCK_NAMESPACE=",
            false,
            "none",
        ),
        (&named, None, "", true, ""),
        (&named, Some(billing), "", false, "billing"),
        (
            &named,
            Some(billing),
            "DSPINLOCK_NAMESPACE=staging",
            false,
            "billing",
        ),
    ] {
        let key = format!("{url}{variable:?}{of_other}").replace(|c: char| !c.is_alphanumeric(), "-");
        let job = Job::new("cached", &key);
        let this = this_program(home.path(), variable.as_slice(), url);
        let value = this.call(&job).result().unwrap();
        let again = this_program(home.path(), variable.as_slice(), url);
        assert_eq!(again.call(&job).outcome(), (0, Ok(value.clone())), "{key}");
        let other = other_program(home.path(), of_other, url);
        let (bodies, of_other) = other.call(&job).outcome();
        assert_eq!((bodies == 0, of_other == Ok(value)), (shares, shares), "{key}");
        let log = this.logs();
        let expected = match namespace {
            "" => "INFO there is no namespace: ".to_owned(),
            namespace => {
                format!("INFO functions without `name` share results in the namespace `{namespace}`")
            }
        };
        assert_eq!(
            log.iter().filter(|line| line.starts_with(&expected)).count(),
            1,
            "{log:?}"
        );
    }
}

#[test]
fn processes_that_are_killed_do_not_damage_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}/locks.db", folder.path().display());
    let mut workers = Worker::start_many(4, &url);
    for round in 0..12 {
        let job = |at: usize| Job::new("cached", &format!("{round}-{at}")).with("lease", 300);
        // Many calls are pending when one process is killed.
        let calls: Vec<_> = (0..50)
            .flat_map(|at| start_calls(&workers, 1, &job(at)))
            .collect();
        std::thread::sleep(std::time::Duration::from_millis(3 * round));
        drop(calls);
        let victim = workers.len() - 1;
        workers[victim].kill();
        workers[victim] = Worker::start(&url);
        let (_, values, errors) = join_calls(&start_calls(&workers, 4, &job(0)));
        assert_eq!((values.len(), errors), (1, vec![]), "round {round}");
    }
}

#[test]
fn a_path_that_cannot_be_a_store_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "a file, not a folder").unwrap();
    for path in [
        // Read-only, for root too.
        "/proc/dspinlock/locks.db".to_owned(),
        "/proc/locks.db".to_owned(),
        format!("{}/locks.db", file.display()),
        folder.path().display().to_string(),
    ] {
        let error = first_error(&format!("sqlite:{path}"));
        println!("{path}: {error}");
        assert!(!logs::leaks(Some(&error)));
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "a file, not a folder");
}

#[test]
fn a_mistyped_url_creates_no_file() {
    for url in [
        "sqlite:memory",
        "sqlite::memory",
        "sqlite::memory::",
        "sqlite:~/locks.sqlite",
    ] {
        assert_error(&first_error(url), "InvalidUrl");
    }
    assert!(
        !std::path::Path::new(":memory").exists()
            && !std::path::Path::new("memory").exists()
            && !std::path::Path::new("~").exists()
    );
}

#[test]
fn a_foreign_file_is_refused_and_not_changed() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text.db");
    let content = "no database, but secret notes. ".repeat(100);
    fs::write(&text, &content).unwrap();
    assert_error(
        &first_error(&format!("sqlite:{}", text.display())),
        "EmbeddedNotInitialized",
    );
    assert_eq!(fs::read_to_string(&text).unwrap(), content);

    let foreign = folder.path().join("foreign.db").display().to_string();
    sqlite(
        &foreign,
        "create table notes (text); insert into notes values ('secret')",
    );
    assert_error(
        &first_error(&format!("sqlite:{foreign}")),
        "EmbeddedNotInitialized",
    );
    assert_eq!(sqlite(&foreign, "select name from sqlite_master"), ["('notes',)"]);
}

/// Runs statements with the SQLite of Python.
fn sqlite(path: &str, statements: &str) -> Vec<String> {
    let script = "
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as base:
    for statement in sys.argv[2].split(';'):
        for row in base.execute(statement):
            print(row)
base.close()
";
    Python::run(script, &[path, statements])
}

/// The open of a file waits while another process creates it.
#[test]
fn a_file_that_is_slow_to_open_does_not_block_the_runtime_of_the_first_call() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("locks.sqlite").display().to_string();
    let script = "
import sqlite3, sys, time
base = sqlite3.connect(sys.argv[1], isolation_level=None)
base.execute('begin exclusive')
print('locked', flush=True)
time.sleep(600)
";
    let creator = Python::start(script, &[&path]);
    assert_eq!(creator.recv(), "locked");
    let worker = Worker::start(&format!("sqlite:{path}"));
    for _ in 0..3 {
        let call = worker.call(&Job::new("cached", "key").with("timeout", 100));
        assert_eq!(call.result(), Err("dropped".to_owned()));
    }
}

/// Hard links are a hazard, and another owner is normal in containers.
#[test]
fn a_file_with_two_names_or_another_owner_is_logged_in_one_line() {
    logs::capture();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("locks.db");
    let url = format!("sqlite:{}", path.display());
    let lines = || {
        let shown = path.display().to_string();
        let mut lines = logs::lines();
        lines.retain(|line| line.contains(&shown));
        lines
    };
    drop(Pool::open(&url).unwrap());
    assert_eq!(lines(), [""; 0]);
    fs::hard_link(&path, folder.path().join("other.db")).unwrap();
    drop(Pool::open(&url).unwrap());
    let linked = lines();
    assert!(
        linked.len() == 1 && linked[0].starts_with("WARN") && linked[0].contains("2 names"),
        "{linked:?}"
    );
    fs::remove_file(folder.path().join("other.db")).unwrap();
    // Only root can give a file away. For everybody else, the own file logs nothing.
    let is_root = fs::metadata(folder.path()).unwrap().uid() == 0;
    if is_root {
        chown(&path, Some(65534), None).unwrap();
    }
    drop(Pool::open(&url).unwrap());
    let owned = lines().split_off(1);
    assert_eq!(owned.len(), usize::from(is_root), "{owned:?}");
    assert!(
        owned
            .iter()
            .all(|line| line.starts_with("INFO") && line.contains("another user (id 65534)"))
    );
}
