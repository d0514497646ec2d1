//! What py-dspinlock does to a shared key: it knows the state alone, and writes it without asking.

use dspinlock_runtime::internals::protocol::Reply;

use super::lock::*;
use crate::bench::{Entry, Foreign};

super::list! {
    steps alone {
    }
    past the protocol {
        python_holds_and_rust_waits,
        python_leaves_computed_and_no_value,
        python_takes_a_key_over,
        python_releases_late,
        python_deletes_the_state,
        python_computes_over_a_value_of_rust,
    }
}

fn python_holds_and_rust_waits(lock: &mut Lock<'_>) {
    lock.put_state(state("python", "0"), Some(LEASE));
    assert_left(busy(lock.acquire("a")).remaining, LEASE);
    assert!(matches!(
        lock.acquire_with("a", |a| a.fail_if_key_exists = true),
        Reply::Exists(Some(_))
    ));
    lock.put_state(state("python", "0"), None);
    let unlimited = lock.acquire_with("a", |a| a.fail_if_key_exists = true);
    assert_eq!(unlimited, Reply::Exists(None));
    lock.put_state(state("python", "0"), Some(LEASE));
    lock.bench.advance(LAPSE);
    lock.grant("a");
}

fn python_leaves_computed_and_no_value(lock: &mut Lock<'_>) {
    lock.put_state(state("python", "1"), Some(TTL));
    assert_eq!(lock.read(true), Reply::Miss);
    assert_eq!(lock.acquire_with("a", |a| a.want_value = false), Reply::Computed);
    lock.grant("a");
}

fn python_takes_a_key_over(lock: &mut Lock<'_>) {
    let fence = lock.grant("a");
    lock.put_state(state("python", "0"), Some(TTL));
    lock.untouched(|lock| {
        assert_eq!(lock.renew("a", fence), Reply::Lost);
        assert_eq!(lock.publish("a", fence, Some(b"value")), Reply::Lost);
        assert_eq!(lock.abort("a"), Reply::Aborted(false));
        assert!(busy(lock.acquire("a")).foreign, "the value is still Rust's");
    });
}

fn python_releases_late(lock: &mut Lock<'_>) {
    let fence = lock.grant("a");
    // It has lost its lock to "a", and writes COMPUTED all the same.
    lock.put_state(state("python", "1"), Some(TTL));
    lock.untouched(|lock| {
        assert_eq!(lock.publish("a", fence, Some(b"value")), Reply::Lost);
        assert_eq!(lock.read(true), Reply::Miss);
    });
    assert!(lock.grant("b") > fence);
}

fn python_deletes_the_state(lock: &mut Lock<'_>) {
    let fence = lock.grant("a");
    lock.put(Entry::State, Foreign::Nothing);
    lock.untouched(|lock| {
        assert_eq!(lock.renew("a", fence), Reply::Lost);
        assert_eq!(lock.publish("a", fence, Some(b"value")), Reply::Lost);
    });
    assert!(lock.grant("b") > fence, "the value still knows the last fence");
}

fn python_computes_over_a_value_of_rust(lock: &mut Lock<'_>) {
    lock.compute("a", Some(b"older"));
    lock.put_state(state("python", "0"), None);
    lock.put_state(state("python", "1"), Some(TTL));
    assert_eq!(
        lock.read(true),
        Reply::Miss,
        "an older value is not the newer one's"
    );
    lock.grant("b");
}
