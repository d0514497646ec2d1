//! Each mutation of the protocol violates a property, so the models can fail.

use dspinlock_model::lock::{EXCLUSION, FENCES, FREED, Faults, KEPT, Lock, PUBLISH, RESULT, VISIBLE};
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

/// [`assert_caught`] for a model with one property.
fn assert_only_caught(mutation: Mutation, mut model: Lock, property: &'static str) {
    model.properties = match property {
        KEPT => &[KEPT],
        RESULT => &[RESULT],
        _ => &[FREED],
    };
    assert_holds("unchanged protocol", model.clone());
    model.settings.mutation = mutation;
    assert_violated(&format!("{mutation:?}"), model, property);
}

/// Requests are duplicated: a copy arrives late.
fn with_duplicates(calls: usize) -> Lock {
    Lock::new(
        calls,
        Faults {
            duplicates: 1,
            ..Faults::default()
        },
    )
}

/// Callers are dropped.
fn with_drops() -> Lock {
    Lock::new(
        2,
        Faults {
            drops: 1,
            ..Faults::default()
        },
    )
}

#[test]
fn a_new_fence_for_a_repeated_acquire_is_caught() {
    for format in [Format::Single, Format::Shared] {
        let mut model = with_duplicates(2);
        model.settings.format = format;
        assert_only_caught(Mutation::RetryGetsNewFence, model, KEPT);
    }
}

#[test]
fn a_repeated_acquire_that_does_not_know_its_own_lock_is_caught() {
    for format in [Format::Single, Format::Shared] {
        let mut model = with_duplicates(1);
        (model.settings.format, model.in_order) = (format, true);
        assert_only_caught(Mutation::RetryIsNotRecognized, model, FREED);
    }
}

#[test]
fn a_grant_to_a_call_that_has_published_is_caught() {
    let mut model = with_duplicates(1);
    (model.settings.format, model.settings.cached) = (Format::Shared, false);
    model.in_order = true;
    assert_only_caught(Mutation::GrantOverOwnResult, model, FREED);
}

#[test]
fn an_abort_that_removes_a_result_is_caught() {
    for format in [Format::Single, Format::Shared] {
        let mut model = with_drops();
        model.settings.format = format;
        assert_only_caught(Mutation::AbortRemovesResult, model, RESULT);
    }
}

#[test]
fn a_call_that_ends_without_an_abort_is_caught() {
    let model = Lock {
        in_order: true,
        ..with_drops()
    };
    assert_only_caught(Mutation::AbortIgnored, model, FREED);
}

#[test]
fn an_abort_that_overtakes_its_acquire_is_caught() {
    let mut model = with_drops();
    model.properties = &[FREED];
    assert_violated("the requests of a call are reordered", model, FREED);
}
