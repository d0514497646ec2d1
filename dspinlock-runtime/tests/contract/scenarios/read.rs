//! READ of keys with and without a site name.

use dspinlock_runtime::internals::protocol::Reply;

use super::lock::*;
use crate::rig::{Entry, Foreign};

super::list! {
    steps only {
        reading_a_key_without_a_value_is_a_miss,
        a_computed_value_is_read,
        the_next_grant_removes_the_value,
        a_value_above_the_bound_is_not_returned,
    }
    raw access {
        a_key_with_a_site_name_needs_no_state,
        a_shared_key_needs_the_state_of_its_value,
        a_value_under_another_fence_is_a_miss,
        a_malformed_value_is_a_miss,
    }
}

fn reading_a_key_without_a_value_is_a_miss(lock: &mut Lock<'_>) {
    assert_eq!(lock.read(false), Reply::Miss);
    assert_eq!(lock.read(true), Reply::Miss);
    lock.grant("a");
    assert_eq!(lock.read(false), Reply::Miss);
    assert_eq!(lock.read(true), Reply::Miss);
}

fn a_computed_value_is_read(lock: &mut Lock<'_>) {
    let fence = lock.compute("a", Some(b"value"));
    for shared in [false, true] {
        let (value, left) = hit(lock.read(shared));
        assert_eq!(
            (value.payload.as_ref(), value.fence),
            (b"value".as_slice(), fence)
        );
        assert_eq!(left, None, "READ does not return the expiry");
    }
}

fn the_next_grant_removes_the_value(lock: &mut Lock<'_>) {
    lock.compute("a", Some(b"value"));
    acquired(&lock.acquire_with("b", |a| a.cached = false));
    assert_eq!(lock.read(false), Reply::Miss);
    assert_eq!(lock.abort("b"), Reply::Aborted(true));
    assert_eq!(lock.read(false), Reply::Miss);
}

fn a_value_above_the_bound_is_not_returned(lock: &mut Lock<'_>) {
    lock.compute("a", Some(b"value"));
    let size = lock.size();
    for shared in [false, true] {
        hit(lock.read_within(shared, size));
        assert_eq!(lock.read_within(shared, size - 1), Reply::TooLong);
        assert_eq!(lock.read_within(shared, 0), Reply::TooLong);
    }
}

fn a_key_with_a_site_name_needs_no_state(lock: &mut Lock<'_>) {
    lock.compute("a", Some(b"value"));
    for state in [
        Foreign::Nothing,
        Foreign::WrongType,
        Foreign::Bytes("garbage".into(), None),
    ] {
        lock.put(Entry::State, state);
        assert_eq!(hit(lock.read(false)).0.payload.as_ref(), b"value");
        assert_eq!(lock.read(true), Reply::Miss);
    }
}

fn a_shared_key_needs_the_state_of_its_value(lock: &mut Lock<'_>) {
    lock.compute("a", Some(b"value"));
    for (tag, number, visible) in [
        ("b", "1", false),
        ("a", "0", false),
        ("a", "2", false),
        ("a", "1", true),
    ] {
        lock.put_state(state(tag, number), None);
        let found = matches!(lock.read(true), Reply::Hit(..));
        assert_eq!(found, visible, "{tag} {number}");
    }
}

fn a_value_under_another_fence_is_a_miss(lock: &mut Lock<'_>) {
    lock.put_value("dspinlock1,b,8,a,7,1,2,3,5,00000000,1,host,site\nvalue", None);
    lock.put_state(state("a", "1"), None);
    assert_eq!(lock.read(false), Reply::Miss, "fence 7 differs from fence 8");
    hit(lock.read(true));
    lock.put_value("dspinlock1,b,7,a,7,1,2,3,5,00000000,1,host,site\nvalue", None);
    let (value, _) = hit(lock.read(false));
    assert!(!value.is_intact(), "READ does not verify the checksum");
}

fn a_malformed_value_is_a_miss(lock: &mut Lock<'_>) {
    lock.compute("a", Some(b"value"));
    let whole = lock.value().print();
    for end in 0..whole.len() {
        lock.put_value(whole.slice(..end), None);
        assert_eq!(lock.read(false), Reply::Miss, "cut at {end}");
        assert_eq!(lock.read(true), Reply::Miss, "cut at {end}");
        // ACQUIRE judges the value like READ: it is malformed, so the caller computes.
        acquired(&lock.acquire("b"));
        lock.put_state(state("a", "1"), None);
    }
    let good = "dspinlock1,a,7,a,7,1,2,3,5,00000000,1,host,site\nvalue";
    lock.put_value(good, None);
    hit(lock.read(false));
    for (part, other) in [
        ("dspinlock1", "dspinlock2"),
        ("1,a,7,a", "1,,7,a"),
        ("1,a,7,a", "1,a,-7,a"),
        ("1,a,7,a", "1,a,9007199254740992,a"),
        ("1,a,7,a", "1,a,7,"),
        (",3,5,", ",3,6,"),
        (",3,5,", ",,5,"),
        (",3,5,", ",12345678901234567,5,"),
        ("00000000", "0000000g"),
        ("00000000", "000000000"),
        (",1,host", ",x,host"),
        ("host,site", "host"),
        ("\nvalue", "value"),
    ] {
        let text = good.replacen(part, other, 1);
        assert_ne!(text, good);
        lock.put_value(text, None);
        lock.put_state(state("a", "1"), None);
        assert_eq!(lock.read(false), Reply::Miss, "{other}");
        assert_eq!(lock.read(true), Reply::Miss, "{other}");
        acquired(&lock.acquire("b"));
    }
    lock.put(Entry::Value, Foreign::WrongType);
    assert_eq!(lock.read(false), Reply::Miss);
    assert_eq!(lock.read(true), Reply::Miss);
}
