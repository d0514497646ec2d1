//! Each check sees what it is there for.

use std::panic::catch_unwind;

use super::*;

/// A call that computes, one that is handed its value, a delete, and the same again.
const GOOD: &str = "1 call 1-1 k 5000\n2 begin 1-1 k 10\n3 call 2-1 k 5000\n4 end 1-1 k 10 held a\n\
    5 out 1-1 k ok a\n6 out 2-1 k ok a\n7 delete 2-2 k \n8 deleted 2-2 k \n9 call 1-2 k 5000\n\
    10 begin 1-2 k 11\n11 end 1-2 k 11 held b\n12 out 1-2 k ok b\n13 call 2-3 k 5000\n14 out 2-3 k ok b";

fn history(lines: &str) -> History {
    History {
        events: lines.lines().map(Event::parse).collect(),
        ..History::default()
    }
}

/// Whether the good story with this change is found to be bad.
#[track_caller]
fn refused(from: &str, to: &str) {
    let changed = GOOD.replace(from, to);
    assert_ne!(changed, GOOD, "{from:?}");
    let check = || {
        let history = history(&changed);
        history.check();
        history.check_exclusion();
    };
    assert!(catch_unwind(check).is_err(), "{from:?} → {to:?} is not seen");
}

#[test]
fn a_good_story_is_good() {
    history(GOOD).check();
    history(GOOD).check_exclusion();
    assert_eq!(history(GOOD).bodies().len(), 2);
}

#[test]
fn fences_that_do_not_grow_are_seen() {
    refused("begin 1-2 k 11", "begin 1-2 k 10");
    refused("begin 1-2 k 11", "begin 1-2 k 9");
}

#[test]
fn what_was_published_without_a_lease_is_seen() {
    refused("10 held a", "10 lost a");
    refused("out 2-1 k ok a", "out 2-1 k ok c");
}

#[test]
fn a_hit_that_is_older_than_a_delete_is_seen() {
    refused("out 2-3 k ok b", "out 2-3 k ok a");
}

#[test]
fn a_hit_that_is_older_than_one_before_is_seen() {
    // Nobody has deleted it.
    let lost = GOOD.replace("7 delete 2-2 k \n8 deleted 2-2 k \n", "");
    let older = "\n15 call 3-1 k 5000\n16 out 3-1 k ok a";
    history(&lost).check();
    assert!(catch_unwind(|| history(&format!("{lost}{older}")).check()).is_err());
}

#[test]
fn a_caller_that_ends_late_or_never_is_seen() {
    refused("\n6 out 2-1 k ok a", "");
    refused("6 out 2-1", "6000004 out 2-1");
}

#[test]
fn two_bodies_at_once_are_seen() {
    refused(
        "4 end 1-1 k 10 held a\n",
        "3 begin 2-1 k 11\n4 end 1-1 k 10 held a\n5 end 2-1 k 11 held c\n",
    );
}

#[test]
fn a_killed_process_ends_nothing() {
    let lines = "1 call 1-1 k 5000\n2 begin 1-1 k 10\n3 call 2-1 k 5000\n4 begin 2-1 k 11\n\
        5 end 2-1 k 11 held b\n6 out 2-1 k ok b";
    history(lines).killed(&[1]).check();
    history(lines).killed(&[1]).check_exclusion();
    assert!(catch_unwind(|| history(lines).check()).is_err());
    assert!(catch_unwind(|| history(lines).check_exclusion()).is_err());
}
