//! Each mutation of the protocol violates a property, so the models can fail.

use dspinlock_model::lock::{EXCLUSION, FENCES, Faults, Lock, PUBLISH, VISIBLE};
use dspinlock_model::mutation::Mutation;
use dspinlock_model::report::{assert_holds, assert_violated};
use dspinlock_runtime::internals::key::Format;

/// Asserts that the mutation violates the property, and that the unchanged protocol holds in the same model.
fn assert_caught(mutation: Mutation, faults: Faults, property: &'static str) {
    let mut model = Lock::new(2, faults);
    if faults.python_writes > 0 {
        model.settings.format = Format::Shared;
    }
    if faults.python_writes > 0 {
        model.horizon = 1;
    }
    assert_holds("unchanged protocol", model.clone());
    model.settings.mutation = mutation;
    assert_violated(&format!("{mutation:?}"), model, property);
}

#[test]
fn publish_that_ignores_the_fence_is_caught() {
    let faults = Faults {
        duplicates: 1,
        deletes: 1,
        ..Faults::default()
    };
    assert_caught(Mutation::PublishByTag, faults, PUBLISH);
}

#[test]
fn publish_over_a_lock_of_python_is_caught() {
    let faults = Faults {
        python_writes: 1,
        ..Faults::default()
    };
    assert_caught(Mutation::PublishOverForeign, faults, PUBLISH);
}

#[test]
fn publish_that_checks_nothing_is_caught() {
    assert_caught(Mutation::PublishUnchecked, Faults::default(), PUBLISH);
}

#[test]
fn publish_to_a_deleted_key_is_caught() {
    let faults = Faults {
        deletes: 1,
        ..Faults::default()
    };
    assert_caught(Mutation::PublishWithoutEntry, faults, VISIBLE);
}

#[test]
fn delete_that_keeps_a_held_lock_is_caught() {
    let faults = Faults {
        deletes: 1,
        ..Faults::default()
    };
    assert_caught(Mutation::DeleteKeepsBlocked, faults, VISIBLE);
}

#[test]
fn a_fence_that_restarts_with_the_server_is_caught() {
    let faults = Faults {
        restarts: 1,
        ..Faults::default()
    };
    assert_caught(Mutation::CountedFence, faults, FENCES);
}

#[test]
fn a_release_that_checks_nothing_is_caught() {
    let mut model = Lock::new(
        3,
        Faults {
            duplicates: 1,
            ..Faults::default()
        },
    );
    model.settings.cached = false;
    model.properties = &[EXCLUSION];
    assert_holds("unchanged protocol", model.clone());
    model.settings.mutation = Mutation::ReleaseUnchecked;
    assert_violated("ReleaseUnchecked", model, EXCLUSION);
}
