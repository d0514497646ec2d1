//! Each check finds the violation that it is for.

use std::panic::catch_unwind;

use super::*;

/// A call that computes, a hit, a delete; then a call that computes and a hit.
const VALID: &str = "1 call 1-1 k 5000\n2 begin 1-1 k 10\n3 call 2-1 k 5000\n4 end 1-1 k 10 held a\n\
    5 out 1-1 k ok a\n6 out 2-1 k ok a\n7 delete 2-2 k \n8 deleted 2-2 k \n9 call 1-2 k 5000\n\
    10 begin 1-2 k 11\n11 end 1-2 k 11 held b\n12 out 1-2 k ok b\n13 call 2-3 k 5000\n14 out 2-3 k ok b";

fn history(lines: &str) -> History {
    History {
        events: lines.lines().map(Event::parse).collect(),
        ..History::default()
    }
}

/// Checks that the valid history with this change is refused.
#[track_caller]
fn is_refused(from: &str, to: &str) {
    let changed = VALID.replace(from, to);
    assert_ne!(changed, VALID, "{from:?}");
    let check = || {
        let history = history(&changed);
        history.check();
        history.check_exclusion();
    };
    assert!(catch_unwind(check).is_err(), "{from:?} → {to:?} is not found");
}

#[test]
fn a_valid_history_passes() {
    history(VALID).check();
    history(VALID).check_exclusion();
    assert_eq!(history(VALID).bodies().len(), 2);
}

#[test]
fn fences_that_do_not_grow_are_refused() {
    is_refused("begin 1-2 k 11", "begin 1-2 k 10");
    is_refused("begin 1-2 k 11", "begin 1-2 k 9");
}

#[test]
fn a_hit_whose_body_lost_its_lease_is_refused() {
    is_refused("10 held a", "10 lost a");
    is_refused("out 2-1 k ok a", "out 2-1 k ok c");
}

#[test]
fn a_hit_older_than_a_delete_is_refused() {
    is_refused("out 2-3 k ok b", "out 2-3 k ok a");
}

#[test]
fn a_hit_older_than_an_earlier_hit_is_refused() {
    // Without the delete.
    let lost = VALID.replace("7 delete 2-2 k \n8 deleted 2-2 k \n", "");
    let older = "\n15 call 3-1 k 5000\n16 out 3-1 k ok a";
    history(&lost).check();
    assert!(catch_unwind(|| history(&format!("{lost}{older}")).check()).is_err());
}

#[test]
fn a_call_that_returns_late_or_never_is_refused() {
    is_refused("\n6 out 2-1 k ok a", "");
    is_refused("6 out 2-1", "6000004 out 2-1");
}

#[test]
fn bodies_that_overlap_are_refused() {
    is_refused(
        "4 end 1-1 k 10 held a\n",
        "3 begin 2-1 k 11\n4 end 1-1 k 10 held a\n5 end 2-1 k 11 held c\n",
    );
}

#[test]
fn a_body_of_a_killed_process_may_overlap() {
    let lines = "1 call 1-1 k 5000\n2 begin 1-1 k 10\n3 call 2-1 k 5000\n4 begin 2-1 k 11\n\
        5 end 2-1 k 11 held b\n6 out 2-1 k ok b";
    history(lines).killed(&[1]).check();
    history(lines).killed(&[1]).check_exclusion();
    assert!(catch_unwind(|| history(lines).check()).is_err());
    assert!(catch_unwind(|| history(lines).check_exclusion()).is_err());
}
