//! What is left in a store for a person to see, and who may see it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use dspinlock_testkit::{Job, Redis, Worker, begin, finish};

#[test]
fn the_value_tells_who_holds_the_key_and_no_argument() {
    let server = Redis::start();
    let worker = Worker::start(&server.url());
    let call = worker.call(&Job::new("cached", "secret").with("body", "gate"));
    let fence = call.began();
    let value = server
        .keys()
        .into_iter()
        .find(|key| key.starts_with('{'))
        .unwrap();
    let header = server.get(&value).unwrap();
    let fields: Vec<&str> = header.trim_end().splitn(13, ',').collect();
    assert_eq!((fields[0], fields[2]), ("dspinlock1", fence.to_string().as_str()));
    assert_eq!(fields[10], worker.id().to_string());
    assert!(!fields[11].is_empty(), "the host");
    assert_eq!(fields[12], "it::common::worker::cached");
    assert!(!server.keys().concat().contains("secret") && !header.contains("secret"));
    call.go();
    call.end().unwrap();
}

#[test]
fn both_entries_of_a_key_end_together() {
    let server = Redis::start();
    let worker = Worker::start(&server.url());
    let ends = || -> Vec<String> {
        let names = server.keys();
        names
            .iter()
            .map(|name| format!("{:?}", server.raw(&["PEXPIRETIME", name])))
            .collect()
    };
    let call = worker.call(&Job::new("cached", "key").with("body", "gate").with("lease", 600));
    call.began();
    for _ in 0..4 {
        // While the heart beats, and after it has.
        std::thread::sleep(std::time::Duration::from_millis(150));
        let ends = ends();
        assert!(ends.len() == 2 && ends[0] == ends[1], "{ends:?}");
    }
    call.go();
    call.end().unwrap();
    let ends = ends();
    assert!(ends.len() == 2 && ends[0] == ends[1], "{ends:?}");
}

#[test]
fn without_a_url_locks_are_in_the_users_state_folder_and_a_warning_says_so_once() {
    let home = tempfile::tempdir().unwrap();
    let environment = [("XDG_STATE_HOME", home.path().to_str().unwrap())];
    let worker = Worker::without_url(&environment);
    let other = Worker::without_url(&environment);
    let job = Job::new("cached", "key");
    let value = worker.call(&job).end();
    assert_eq!(
        other.call(&job).story(),
        (0, value),
        "processes of one machine share it"
    );
    assert_eq!(
        worker
            .logs()
            .iter()
            .filter(|line| line.contains("this machine only"))
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

#[test]
fn the_embedded_store_survives_processes_that_are_killed() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}/locks.db", folder.path().display());
    let mut workers = Worker::several(4, &url);
    for round in 0..12 {
        let job = |at: usize| Job::new("cached", &format!("{round}-{at}")).with("lease", 300);
        // Many calls are under way when one process dies.
        let calls: Vec<_> = (0..50).flat_map(|at| begin(&workers, 1, &job(at))).collect();
        std::thread::sleep(std::time::Duration::from_millis(3 * round));
        drop(calls);
        let victim = workers.len() - 1;
        workers[victim].kill();
        workers[victim] = Worker::start(&url);
        let (_, values, errors) = finish(&begin(&workers, 4, &job(0)));
        assert_eq!((values.len(), errors), (1, vec![]), "round {round}");
    }
}
