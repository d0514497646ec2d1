//! Properties of one lock under every fault, and the properties that a failover violates.
//!
//! `DSPINLOCK_LONG=1` allows each fault once more.

use dspinlock_model::lock::{
    EXCLUSION, FENCES, FREED, Faults, KEPT, Lock, ONCE, POSSIBLE, PUBLISH, RESULT, VISIBLE,
};
use dspinlock_model::report::{assert_holds, assert_live, assert_violated, is_long};
use dspinlock_runtime::internals::key::Format;

const WITH_EXCLUSION: &[&str] = &[FENCES, PUBLISH, VISIBLE, POSSIBLE, EXCLUSION];

/// In both encodings.
fn assert_holds_and_live(name: &str, model: &Lock) {
    for format in [Format::Single, Format::Shared] {
        let mut model = model.clone();
        // Only a shared key is taken over or known to Python.
        let is_foreign = model.faults.takeovers + model.faults.python_writes > 0;
        if is_foreign && format == Format::Single {
            continue;
        }
        model.settings.format = format;
        assert_holds(&format!("{name}, {format:?}"), model.clone());
        assert_live(&format!("{name}, {format:?}"), &model);
    }
}

/// These faults concern the callers and not the key, so that at most one body runs at a time.
fn assert_exclusion(name: &str, calls: usize, faults: Faults) {
    let model = Lock {
        properties: WITH_EXCLUSION,
        ..Lock::new(calls, faults)
    };
    assert_holds_and_live(name, &model);
}

#[test]
fn without_faults_each_result_is_computed_once() {
    let mut model = Lock::new(
        3,
        Faults {
            renewals: 2,
            ..Faults::default()
        },
    );
    model.settings.lease = 2;
    model.punctual = true;
    model.properties = &[FENCES, PUBLISH, VISIBLE, POSSIBLE, EXCLUSION, ONCE];
    assert_holds_and_live("no faults", &model);
}

#[test]
fn one_body_runs_at_a_time_if_requests_are_duplicated_or_lost() {
    let faults = Faults {
        duplicates: 1,
        losses: 1,
        renewals: 1,
        drops: u8::from(is_long()),
        ..Faults::default()
    };
    assert_exclusion("duplicated and lost requests", 2, faults);
}

#[test]
fn one_body_runs_at_a_time_if_callers_are_dropped_or_processes_die() {
    let faults = Faults {
        drops: 1,
        crashes: 1,
        losses: u8::from(is_long()),
        ..Faults::default()
    };
    assert_exclusion("dropped callers and crashes", 3, faults);
}

#[test]
fn one_body_runs_at_a_time_if_no_value_is_cached() {
    let mut model = Lock::new(
        2,
        Faults {
            duplicates: 1,
            drops: 1,
            ..Faults::default()
        },
    );
    model.settings.cached = false;
    model.properties = WITH_EXCLUSION;
    assert_holds_and_live("no cached value", &model);
}

#[test]
fn a_call_that_has_ended_holds_no_lock_and_removes_no_result() {
    let mut model = Lock::new(
        2,
        Faults {
            drops: 2,
            renewals: 1,
            ..Faults::default()
        },
    );
    model.in_order = true;
    model.properties = &[FREED, RESULT, KEPT];
    assert_holds_and_live("dropped callers", &model);
    model.settings.cached = false;
    assert_holds_and_live("dropped callers, no cached value", &model);
}

#[test]
fn a_lease_is_kept_until_it_expires() {
    let mut model = Lock::new(
        2,
        Faults {
            duplicates: 1,
            renewals: 1,
            drops: 1,
            losses: u8::from(is_long()),
            ..Faults::default()
        },
    );
    model.properties = &[KEPT, RESULT];
    for format in [Format::Single, Format::Shared] {
        model.settings.format = format;
        assert_holds(&format!("kept leases, {format:?}"), model.clone());
    }
}

#[test]
fn results_that_expire_violate_no_property() {
    let mut model = Lock::new(
        2,
        Faults {
            duplicates: 1,
            ..Faults::default()
        },
    );
    model.horizon = if is_long() { 4 } else { 3 };
    model.settings.ttl = 1;
    assert_holds_and_live("expiring results", &model);
}

#[test]
fn no_deleted_value_is_visible() {
    let losses = u8::from(is_long());
    let once = Faults {
        duplicates: 1,
        deletes: 1,
        losses,
        ..Faults::default()
    };
    assert_holds_and_live("deleted once", &Lock::new(2, once));
    let twice = Faults {
        deletes: 2,
        losses,
        ..Faults::default()
    };
    assert_holds_and_live("deleted twice", &Lock::new(2, twice));
}

#[test]
fn a_restart_without_data_violates_no_property() {
    let faults = Faults {
        duplicates: 1,
        restarts: 1,
        losses: u8::from(is_long()),
        ..Faults::default()
    };
    assert_holds_and_live("restart without data", &Lock::new(2, faults));
}

#[test]
fn a_python_worker_makes_no_stale_value_visible() {
    let mut model = Lock::new(
        2,
        Faults {
            python_writes: 1,
            duplicates: 1,
            ..Faults::default()
        },
    );
    model.settings.format = Format::Shared;
    model.horizon = if is_long() { 2 } else { 1 };
    assert_holds_and_live("Python worker", &model);
}

#[test]
fn a_takeover_violates_no_property() {
    let faults = Faults {
        takeovers: 2,
        duplicates: u8::from(is_long()),
        ..Faults::default()
    };
    assert_holds_and_live("takeovers", &Lock::new(2, faults));
}

/// The replica has an earlier record. The clocks of both servers agree.
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
fn after_a_failover_fences_grow_and_all_callers_finish() {
    let mut model = failover(u8::from(is_long()));
    model.properties = &[FENCES, POSSIBLE];
    assert_holds_and_live("failover", &model);
}

/// A known limit; see `docs/promises.md`.
#[test]
fn after_a_failover_a_stale_result_may_be_published() {
    assert_violated("failover", failover(1), PUBLISH);
}

/// A known limit; see `docs/promises.md`.
#[test]
fn after_a_failover_two_bodies_may_run() {
    let mut model = failover(1);
    model.properties = WITH_EXCLUSION;
    assert_violated("failover", model, EXCLUSION);
}

/// A known limit; see `docs/promises.md`.
#[test]
fn after_a_failover_a_deleted_value_may_be_visible_again() {
    let mut model = failover(1);
    model.calls = 1;
    assert_violated("failover and delete", model, VISIBLE);
}
