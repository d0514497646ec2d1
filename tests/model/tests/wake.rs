//! Nobody sleeps while nothing is going to wake it, without any timer; and the checks see it where the code were wrong.

use dspinlock_model::report::{breaks, finishes, holds, is_long};
use dspinlock_model::wake::{WOKEN, Waiting, Wake};

fn wake(one_process: bool, waiting: Waiting) -> Wake {
    Wake {
        callers: if is_long() { 4 } else { 3 },
        one_process,
        breaks: 1,
        crashes: 1,
        waiting,
    }
}

#[test]
fn whoever_sleeps_is_woken() {
    for (name, one_process) in [("a process each", false), ("one process", true)] {
        holds(name, wake(one_process, Waiting::Shipped));
        finishes(name, &wake(one_process, Waiting::Shipped));
    }
}

#[test]
fn a_wake_up_that_is_not_latched() {
    for one_process in [false, true] {
        let faultless = |waiting| Wake {
            breaks: 0,
            crashes: 0,
            ..wake(one_process, waiting)
        };
        breaks("unlatched", faultless(Waiting::Unlatched), WOKEN);
    }
}

#[test]
fn no_look_after_subscribing() {
    for one_process in [false, true] {
        let faultless = |waiting| Wake {
            breaks: 0,
            crashes: 0,
            ..wake(one_process, waiting)
        };
        breaks("no second look", faultless(Waiting::NoRecheck), WOKEN);
    }
}
