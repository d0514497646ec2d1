//! Every caller that waits is woken by a push, without a timer.

use dspinlock_model::report::{assert_holds, assert_live, assert_stuck, assert_violated, is_long};
use dspinlock_model::wake::{Variant, WOKEN, Wake};

fn wake(one_process: bool, variant: Variant) -> Wake {
    Wake {
        callers: if is_long() { 4 } else { 3 },
        one_process,
        disconnects: 1,
        crashes: 1,
        pushes: true,
        polls: false,
        variant,
    }
}

/// The mutation loses a wake-up even without a fault.
fn assert_caught(variant: Variant) {
    for one_process in [false, true] {
        let model = Wake {
            disconnects: 0,
            crashes: 0,
            ..wake(one_process, variant)
        };
        assert_violated(&format!("{variant:?}"), model, WOKEN);
    }
}

#[test]
fn every_sleeping_caller_is_woken() {
    for (name, one_process) in [("one process per caller", false), ("one process", true)] {
        let model = wake(one_process, Variant::Shipped);
        assert_holds(name, model.clone());
        assert_live(name, &model);
    }
}

/// With `polls`, the callers also wake by a timer.
fn without_pushes(polls: bool) -> Wake {
    Wake {
        pushes: false,
        polls,
        ..wake(true, Variant::Shipped)
    }
}

#[test]
fn without_pushes_a_timer_wakes_every_caller() {
    assert_live("timers, no pushes", &without_pushes(true));
}

#[test]
fn a_wait_without_a_timer_is_caught() {
    assert_stuck("no timers, no pushes", &without_pushes(false));
}

#[test]
fn a_push_that_is_not_latched_is_caught() {
    assert_caught(Variant::Unlatched);
}

#[test]
fn a_registration_without_a_recheck_is_caught() {
    assert_caught(Variant::NoRecheck);
}
