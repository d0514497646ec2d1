//! The shipped protocol keeps its promises, whatever happens to a lock and its callers; and what a failover breaks.
//!
//! `DSPINLOCK_LONG=1` allows each fault once more.

use dspinlock_model::lock::{ALONE, FENCES, Faults, Lock, ONCE, POSSIBLE, PUBLISH, VISIBLE};
use dspinlock_model::report::{breaks, finishes, holds, is_long};

const ALSO_ALONE: &[&str] = &[FENCES, PUBLISH, VISIBLE, POSSIBLE, ALONE];

fn both(name: &str, model: &Lock) {
    holds(name, model.clone());
    finishes(name, model);
}

/// Where callers but no keys are hurt, at most one of them holds the lock.
fn alone(name: &str, calls: usize, faults: Faults) {
    let model = Lock {
        promises: ALSO_ALONE,
        ..Lock::new(calls, faults)
    };
    both(name, &model);
}

#[test]
fn without_faults_each_result_is_computed_once() {
    let mut model = Lock::new(
        3,
        Faults {
            beats: 2,
            ..Faults::default()
        },
    );
    model.terms.lease = 2;
    model.punctual = true;
    model.promises = &[FENCES, PUBLISH, VISIBLE, POSSIBLE, ALONE, ONCE];
    both("no fault", &model);
}

#[test]
fn requests_that_are_doubled_lost_and_late() {
    let (doubles, losses, beats) = (1, 1, 1);
    let drops = u8::from(is_long());
    let faults = Faults {
        doubles,
        losses,
        beats,
        drops,
        ..Faults::default()
    };
    alone("doubled and lost", 2, faults);
}

#[test]
fn callers_that_go_away_and_processes_that_die() {
    let (drops, crashes, losses) = (1, 1, u8::from(is_long()));
    let faults = Faults {
        drops,
        crashes,
        losses,
        ..Faults::default()
    };
    alone("dropped and crashed", 3, faults);
}

#[test]
fn results_that_lapse() {
    let mut model = Lock::new(
        2,
        Faults {
            doubles: 1,
            ..Faults::default()
        },
    );
    model.horizon = if is_long() { 4 } else { 3 };
    model.terms.ttl = 1;
    both("lapsing results", &model);
}

#[test]
fn a_lock_that_keeps_no_value() {
    let mut model = Lock::new(
        2,
        Faults {
            doubles: 1,
            drops: 1,
            ..Faults::default()
        },
    );
    model.terms.cached = false;
    model.promises = ALSO_ALONE;
    both("no value", &model);
}

#[test]
fn keys_that_are_deleted() {
    let (doubles, deletes, losses) = (1, 1, u8::from(is_long()));
    both(
        "deleted",
        &Lock::new(
            2,
            Faults {
                doubles,
                deletes,
                losses,
                ..Faults::default()
            },
        ),
    );
    both(
        "deleted twice",
        &Lock::new(
            2,
            Faults {
                deletes: 2,
                losses,
                ..Faults::default()
            },
        ),
    );
}

#[test]
fn a_server_that_forgets_everything() {
    let (doubles, restarts, losses) = (1, 1, u8::from(is_long()));
    both(
        "restarted",
        &Lock::new(
            2,
            Faults {
                doubles,
                restarts,
                losses,
                ..Faults::default()
            },
        ),
    );
}

#[test]
fn a_python_worker_that_writes_without_looking() {
    let (pythons, doubles) = (1, 1);
    let mut model = Lock::new(
        2,
        Faults {
            pythons,
            doubles,
            ..Faults::default()
        },
    );
    model.terms.shared = true;
    model.horizon = if is_long() { 2 } else { 1 };
    both("Python", &model);
}

#[test]
fn a_stale_state_is_taken_over() {
    let (takeovers, doubles) = (2, u8::from(is_long()));
    both(
        "takeovers",
        &Lock::new(
            2,
            Faults {
                takeovers,
                doubles,
                ..Faults::default()
            },
        ),
    );
}

/// The record goes back; the clocks of both servers agree.
fn failover(deletes: u8) -> Lock {
    Lock::new(
        2,
        Faults {
            failovers: 1,
            deletes,
            ..Faults::default()
        },
    )
}

#[test]
fn after_a_failover_fences_still_grow_and_all_finish() {
    let mut model = failover(u8::from(is_long()));
    model.promises = &[FENCES, POSSIBLE];
    both("failover", &model);
}

/// Known, and said in `docs/promises.md`.
#[test]
fn after_a_failover_an_older_holder_may_publish_over_a_newer_one() {
    breaks("failover", failover(1), PUBLISH);
}

/// Known, and said in `docs/promises.md`.
#[test]
fn after_a_failover_two_bodies_may_run() {
    let mut model = failover(1);
    model.promises = ALSO_ALONE;
    breaks("failover", model, ALONE);
}

/// Known, and said in `docs/promises.md`: what was deleted comes back.
#[test]
fn after_a_failover_a_value_may_be_older_than_an_invalidation() {
    let mut model = failover(1);
    model.calls = 1;
    breaks("failover and invalidation", model, VISIBLE);
}
