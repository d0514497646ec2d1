//! Each check finds the violation that it is for.

use std::panic::catch_unwind;

use super::*;

/// A call that computes, a hit, a delete; then a call that computes and a hit.
const VALID: &str = "1 call 1-1 k 5000 9000\n2 begin 1-1 k 10\n3 call 2-1 k 5000 9000\n4 end 1-1 k 10 held a\n\
    5 out 1-1 k ok a\n6 out 2-1 k ok a\n7 delete 2-2 k \n8 deleted 2-2 k \n9 call 1-2 k 5000 9000\n\
    10 begin 1-2 k 11\n11 end 1-2 k 11 held b\n12 out 1-2 k ok b\n13 call 2-3 k 5000 9000\n14 out 2-3 k ok b";

const DELETE: &str = "7 delete 2-2 k \n8 deleted 2-2 k \n";

/// The same on a shared key, which keeps no value.
fn without_values() -> String {
    VALID
        .replace("2-1 k ok a", "2-1 k ok computed")
        .replace("2-3 k ok b", "2-3 k ok computed")
}

fn is_valid(lines: &str) -> bool {
    catch_unwind(|| history(lines).check()).is_ok()
}

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
    let lost = VALID.replace(DELETE, "").replace("5000 9000", "5000 0");
    let older = "\n15 call 3-1 k 5000 9000\n16 out 3-1 k ok a";
    history(&lost).check();
    assert!(catch_unwind(|| history(&format!("{lost}{older}")).check()).is_err());
}

#[test]
fn a_body_that_begins_while_its_key_is_computed_is_refused() {
    for lines in [VALID.to_owned(), without_values()] {
        assert!(is_valid(&lines));
        let replaced = |with| is_valid(&lines.replace(DELETE, with));
        assert!(!replaced(""));
        assert!(replaced("7 wipe 3-a *\n8 wiped 3-a *\n"));
        assert!(!replaced("7 delete 2-2 other \n8 deleted 2-2 other \n"));
        // A delete that is never acknowledged may be executed late, and one that was acknowledged early was executed early.
        assert!(replaced("7 delete 2-2 k \n"));
        let early = lines
            .replace(DELETE, "")
            .replace("4 end", &format!("{DELETE}4 end"));
        assert!(!is_valid(&early));
        // The result of the first body has expired.
        assert!(is_valid(
            &lines.replace(DELETE, "").replace("5000 9000", "5000 0")
        ));
    }
}

#[test]
fn a_hit_without_a_value_is_refused_if_no_body_can_have_computed_it() {
    let lines = without_values();
    for (from, to) in [
        ("10 held a", "10 lost a"),
        // The first body failed.
        ("4 end 1-1 k 10 held a\n5 out 1-1 k ok a", "5 out 1-1 k err Body"),
        // The hit was before the end of the first body.
        (
            "4 end 1-1 k 10 held a\n5 out 1-1 k ok a\n6 out 2-1 k ok computed",
            "4 out 2-1 k ok computed\n5 end 1-1 k 10 held a\n6 out 1-1 k ok a",
        ),
        // The second body had the lock when the call began, and failed.
        (
            "11 end 1-2 k 11 held b\n12 out 1-2 k ok b",
            "12 out 1-2 k err Body",
        ),
        // After the delete no body ran.
        (
            "9 call 1-2 k 5000 9000\n10 begin 1-2 k 11\n11 end 1-2 k 11 held b\n12 out 1-2 k ok b\n",
            "",
        ),
    ] {
        let changed = lines.replace(from, to);
        assert_ne!(changed, lines, "{from:?}");
        assert!(!is_valid(&changed), "{from:?} → {to:?} is not found");
    }
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
fn only_the_body_with_the_lower_fence_is_excused() {
    let lines = |first: &str, second: &str| {
        format!(
            "1 call 1-1 k 5000 9000\n2 call 2-1 k 5000 9000\n3 begin 2-1 k 11\n4 begin 1-1 k 10\n\
            5 end 2-1 k 11 {second} b\n6 end 1-1 k 10 {first} a\n7 out 2-1 k ok b\n8 out 1-1 k ok a"
        )
    };
    let overlaps = |lines: &str| catch_unwind(|| history(lines).check_exclusion()).is_err();
    assert!(overlaps(&lines("held", "held")));
    assert!(overlaps(&lines("held", "lost")));
    assert!(!overlaps(&lines("lost", "held")));
    let removed = |at: &str, event: &str| lines("held", "held").replace(at, &format!("{event}\n{at}"));
    assert!(!overlaps(&removed("3 begin", "2 wipe 9-1 *")));
    assert!(!overlaps(&removed("3 begin", "2 delete 9-1 k")));
    assert!(overlaps(&removed("3 begin", "2 delete 9-1 other")));
    assert!(overlaps(&removed("1 call", "1 delete 9-1 k\n1 deleted 9-1 k")));
    assert!(overlaps(&removed("5 end", "4 wipe 9-1 *")));
}

#[test]
fn a_body_of_a_killed_process_may_overlap() {
    let lines = "1 call 1-1 k 5000 9000\n2 begin 1-1 k 10\n3 call 2-1 k 5000 9000\n4 begin 2-1 k 11\n\
        5 end 2-1 k 11 held b\n6 out 2-1 k ok b";
    history(lines).killed(&[1]).check();
    history(lines).killed(&[1]).check_exclusion();
    assert!(catch_unwind(|| history(lines).check()).is_err());
    assert!(catch_unwind(|| history(lines).check_exclusion()).is_err());
}
