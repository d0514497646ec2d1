//! Many processes on one file, and processes that are killed.

use rusqlite::Connection;

use crate::child::{hear, start};
use crate::{grant, key, open, place};

#[test]
fn processes_take_turns_and_nobody_starves() {
    let (_folder, path) = place();
    let part = format!("take_turns {} 100", path.display());
    let children: Vec<_> = (0..4).map(|_| start(&part)).collect();
    let mut longest = 0;
    for child in &children {
        longest = longest.max(hear(child).parse::<u64>().expect("microseconds"));
        assert_eq!(hear(child), "100");
    }
    println!("longest step of 4 processes: {longest} µs");
    // The store itself would say Timeout after 5 s.
    assert!(longest < 5_000_000);
}

#[test]
fn a_file_outlives_processes_that_are_killed_at_any_moment() {
    let (_folder, path) = place();
    let part = format!("publish {}", path.display());
    let survivor = start(&part);
    hear(&survivor);
    for round in 0..20 {
        let mut victim = start(&part);
        // From the first step on, so that the kill falls into another moment of a step each time.
        for _ in 0..=round {
            hear(&victim);
        }
        victim.kill();
    }
    // It would have died of a failed step.
    for _ in 0..20 {
        hear(&survivor);
    }
    drop(survivor);
    let connection = Connection::open(&path).expect("the file");
    let verdict: String = connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .expect("a verdict");
    assert_eq!(verdict, "ok");
    grant(&open(&path).expect("a store"), &key(200), "a");
}

#[test]
fn a_process_killed_while_it_makes_the_file_leaves_one_that_can_be_used() {
    for _ in 0..20 {
        let (_folder, path) = place();
        let mut child = start(&format!("publish {}", path.display()));
        // As soon as there is anything, whole or not.
        dspinlock_testkit::eventually("the file", || path.exists().then_some(()));
        child.kill();
        grant(&open(&path).expect("a store"), &key(200), "a");
    }
}

#[test]
fn many_processes_may_make_the_file_at_once() {
    for _ in 0..5 {
        let (_folder, path) = place();
        let part = format!("open {}", path.display());
        let children: Vec<_> = (0..6).map(|_| start(&part)).collect();
        for child in &children {
            assert_eq!(hear(child), "Ok(\"opened\")");
        }
    }
}
