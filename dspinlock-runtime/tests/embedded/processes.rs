//! Several processes on one file, and processes that are killed.

use rusqlite::Connection;

use crate::child::{next_line, start};
use crate::{grant, key, open, temporary_path};

#[test]
fn no_process_starves() {
    let (_folder, path) = temporary_path();
    let task = format!("take_turns {} 100", path.display());
    let children: Vec<_> = (0..4).map(|_| start(&task)).collect();
    let mut longest = 0;
    for child in &children {
        longest = longest.max(next_line(child).parse::<u64>().expect("microseconds"));
        assert_eq!(next_line(child), "100");
    }
    println!("longest step of 4 processes: {longest} µs");
    // The time limit of the store is 5 s.
    assert!(longest < 5_000_000);
}

#[test]
fn killed_processes_do_not_damage_the_file() {
    let (_folder, path) = temporary_path();
    let task = format!("publish {}", path.display());
    let survivor = start(&task);
    next_line(&survivor);
    for round in 0..20 {
        let mut victim = start(&task);
        // Varies the number of steps, so that each kill interrupts a different one.
        for _ in 0..=round {
            next_line(&victim);
        }
        victim.kill();
    }
    // The survivor would have panicked if a step had failed.
    for _ in 0..20 {
        next_line(&survivor);
    }
    drop(survivor);
    let connection = Connection::open(&path).expect("the file opens");
    let check: String = connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .expect("a result of the check");
    assert_eq!(check, "ok");
    grant(&open(&path).expect("the store opens"), &key(200), "a");
}

#[test]
fn a_process_killed_while_creating_the_file_leaves_a_usable_file() {
    for _ in 0..20 {
        let (_folder, path) = temporary_path();
        let mut child = start(&format!("publish {}", path.display()));
        // Kills the process as soon as the file exists.
        dspinlock_testkit::eventually("the file to exist", || path.exists().then_some(()));
        child.kill();
        grant(&open(&path).expect("the store opens"), &key(200), "a");
    }
}

#[test]
fn processes_may_create_the_file_at_the_same_time() {
    for _ in 0..5 {
        let (_folder, path) = temporary_path();
        let task = format!("open {}", path.display());
        let children: Vec<_> = (0..6).map(|_| start(&task)).collect();
        for child in &children {
            assert_eq!(next_line(child), "Ok(\"opened\")");
        }
    }
}
