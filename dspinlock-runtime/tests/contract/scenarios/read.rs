use dspinlock_runtime::internals::protocol::Reply;

use super::lock::*;
use crate::bench::{Entry, Foreign};

super::list! {
    steps alone {
        nothing_is_a_miss,
        a_computed_value_is_read,
        a_value_is_gone_with_the_next_grant,
        no_value_beyond_the_bound_is_read,
    }
    past the protocol {
        a_named_key_needs_its_value_alone,
        a_shared_key_needs_its_own_state,
        a_value_under_another_fence_is_a_miss,
        what_is_no_value_is_a_miss,
    }
}

fn nothing_is_a_miss(lock: &mut Lock<'_>) {
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
        assert_eq!(left, None, "a read does not ask how long");
    }
}

fn a_value_is_gone_with_the_next_grant(lock: &mut Lock<'_>) {
    lock.compute("a", Some(b"value"));
    acquired(&lock.acquire_with("b", |a| a.cached = false));
    assert_eq!(lock.read(false), Reply::Miss);
    assert_eq!(lock.abort("b"), Reply::Aborted(true));
    assert_eq!(lock.read(false), Reply::Miss);
}

fn no_value_beyond_the_bound_is_read(lock: &mut Lock<'_>) {
    lock.compute("a", Some(b"value"));
    let size = lock.size();
    for shared in [false, true] {
        hit(lock.read_within(shared, size));
        assert_eq!(lock.read_within(shared, size - 1), Reply::Miss);
        assert_eq!(lock.read_within(shared, 0), Reply::Miss);
    }
}

fn a_named_key_needs_its_value_alone(lock: &mut Lock<'_>) {
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

fn a_shared_key_needs_its_own_state(lock: &mut Lock<'_>) {
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
    assert_eq!(lock.read(false), Reply::Miss, "7 is not 8");
    hit(lock.read(true));
    lock.put_value("dspinlock1,b,7,a,7,1,2,3,5,00000000,1,host,site\nvalue", None);
    let (value, _) = hit(lock.read(false));
    assert!(!value.is_intact(), "the checksum is left to who decodes");
}

fn what_is_no_value_is_a_miss(lock: &mut Lock<'_>) {
    lock.compute("a", Some(b"value"));
    let whole = lock.value().print();
    for end in 0..whole.len() {
        lock.put_value(whole.slice(..end), None);
        assert_eq!(lock.read(false), Reply::Miss, "cut at {end}");
        assert_eq!(lock.read(true), Reply::Miss, "cut at {end}");
        // The same judgement where a grant is at stake: nothing to return, so the caller computes.
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
