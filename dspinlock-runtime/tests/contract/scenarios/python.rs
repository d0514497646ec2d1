//! py-dspinlock on a shared key. It knows only the state, and overwrites it unconditionally.

use dspinlock_runtime::internals::protocol::Reply;

use super::lock::*;
use crate::rig::{Entry, Foreign};

super::list! {
    steps only {
    }
    raw access {
        a_lock_of_python_is_busy,
        a_result_of_python_has_no_value,
        a_holder_that_python_overwrites_is_lost,
        a_late_release_of_python_loses_the_holder,
        a_holder_whose_state_python_deletes_is_lost,
        a_result_of_python_hides_an_older_value,
    }
}

fn a_lock_of_python_is_busy(lock: &mut Lock<'_>) {
    lock.put_state(state("python", "0"), Some(LEASE));
    assert_remaining(busy(lock.acquire("a")).remaining, LEASE);
    assert!(matches!(
        lock.acquire_with("a", |a| a.fail_if_key_exists = true),
        Reply::Exists(Some(_))
    ));
    lock.put_state(state("python", "0"), None);
    let unlimited = lock.acquire_with("a", |a| a.fail_if_key_exists = true);
    assert_eq!(unlimited, Reply::Exists(None));
    lock.put_state(state("python", "0"), Some(LEASE));
    lock.rig.advance(AFTER_LEASE);
    lock.grant("a");
}

fn a_result_of_python_has_no_value(lock: &mut Lock<'_>) {
    lock.put_state(state("python", "1"), Some(TTL));
    assert_eq!(lock.read(true), Reply::Miss);
    assert_eq!(lock.acquire_with("a", |a| a.want_value = false), Reply::Computed);
    lock.grant("a");
}

fn a_holder_that_python_overwrites_is_lost(lock: &mut Lock<'_>) {
    let fence = lock.grant("a");
    lock.put_state(state("python", "0"), Some(TTL));
    lock.assert_unchanged(|lock| {
        assert_eq!(lock.renew("a", fence), Reply::Lost);
        assert_eq!(lock.publish("a", fence, Some(b"value")), Reply::Lost);
        assert_eq!(lock.abort("a"), Reply::Aborted(false));
        assert!(
            busy(lock.acquire("a")).foreign,
            "the tags of state and value differ"
        );
    });
}

fn a_late_release_of_python_loses_the_holder(lock: &mut Lock<'_>) {
    let fence = lock.grant("a");
    // The Python worker has lost the lock to "a", and releases it nevertheless.
    lock.put_state(state("python", "1"), Some(TTL));
    lock.assert_unchanged(|lock| {
        assert_eq!(lock.publish("a", fence, Some(b"value")), Reply::Lost);
        assert_eq!(lock.read(true), Reply::Miss);
    });
    assert!(lock.grant("b") > fence);
}

fn a_holder_whose_state_python_deletes_is_lost(lock: &mut Lock<'_>) {
    let fence = lock.grant("a");
    lock.put(Entry::State, Foreign::Nothing);
    lock.assert_unchanged(|lock| {
        assert_eq!(lock.renew("a", fence), Reply::Lost);
        assert_eq!(lock.publish("a", fence, Some(b"value")), Reply::Lost);
    });
    assert!(lock.grant("b") > fence, "the value contains the last fence");
}

fn a_result_of_python_hides_an_older_value(lock: &mut Lock<'_>) {
    lock.compute("a", Some(b"older"));
    lock.put_state(state("python", "0"), None);
    lock.put_state(state("python", "1"), Some(TTL));
    assert_eq!(lock.read(true), Reply::Miss, "the value is older than the state");
    lock.grant("b");
}
