//! The checks can fail: a protocol that is spoilt in one place is caught, with a way that shows why.

use dspinlock_model::lock::{FENCES, Faults, Lock, PUBLISH, VISIBLE};
use dspinlock_model::report::{breaks, holds};
use dspinlock_model::rule::Rule;

/// The spoilt rule breaks the promise, and the shipped one keeps it in the very same model.
fn caught(rule: Rule, faults: Faults, promise: &'static str) {
    let mut model = Lock::new(2, faults);
    model.terms.shared = faults.pythons > 0;
    if faults.pythons > 0 {
        model.horizon = 1;
    }
    holds("as shipped", model.clone());
    model.terms.rule = rule;
    breaks(&format!("{rule:?}"), model, promise);
}

#[test]
fn publish_by_tag_alone() {
    let faults = Faults {
        doubles: 1,
        deletes: 1,
        ..Faults::default()
    };
    caught(Rule::PublishByTag, faults, PUBLISH);
}

#[test]
fn publish_by_fence_alone() {
    let faults = Faults {
        pythons: 1,
        ..Faults::default()
    };
    caught(Rule::PublishByFence, faults, PUBLISH);
}

#[test]
fn blind_publish() {
    caught(Rule::PublishBlindly, Faults::default(), PUBLISH);
}

#[test]
fn publish_on_a_missing_state() {
    let faults = Faults {
        deletes: 1,
        ..Faults::default()
    };
    caught(Rule::PublishWithoutState, faults, VISIBLE);
}

#[test]
fn an_invalidation_that_keeps_blocked() {
    let faults = Faults {
        deletes: 1,
        ..Faults::default()
    };
    caught(Rule::DeleteSparesHolders, faults, VISIBLE);
}

#[test]
fn a_counted_fence_across_a_restart() {
    let faults = Faults {
        restarts: 1,
        ..Faults::default()
    };
    caught(Rule::CountedFence, faults, FENCES);
}

#[test]
fn a_value_without_the_tag_check() {
    let faults = Faults {
        pythons: 1,
        ..Faults::default()
    };
    caught(Rule::ValueOfAnyTag, faults, VISIBLE);
}
