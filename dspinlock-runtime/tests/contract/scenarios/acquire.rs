//! ACQUIRE on a free, a held and a computed key.

use dspinlock_runtime::internals::protocol::Reply;
use dspinlock_runtime::internals::protocol::record::Slot;
use dspinlock_runtime::internals::protocol::state::State;
use dspinlock_runtime::internals::protocol::value::MAX_FENCE;

use super::lock::*;
use crate::rig::{Entry, Foreign};

super::list! {
    steps only {
        a_repeated_acquire_returns_the_same_fence,
        a_repeated_acquire_after_publish_returns_the_own_value,
        fail_if_key_exists_reports_an_existing_key,
        fail_if_key_exists_allows_a_repeated_acquire,
        a_cached_value_is_a_hit,
        a_refused_value_is_computed_again,
        computed_without_a_value_is_granted_if_a_value_is_wanted,
        computed_is_granted_without_cached_if_computed,
        a_value_above_the_bound_is_computed_again,
        fences_grow,
        a_value_of_a_megabyte_is_returned_unchanged,
    }
    raw access {
        both_entries_of_a_grant_expire_together,
        a_repeated_acquire_renews_the_lease,
        a_repeated_acquire_without_its_value_returns_a_new_fence,
        a_value_of_another_tag_is_not_a_hit,
        a_fence_is_greater_than_the_stored_one,
        a_grant_overwrites_a_malformed_value,
    }
}

fn both_entries_of_a_grant_expire_together(lock: &mut Lock<'_>) {
    let fence = lock.grant("a");
    lock.assert_both_remaining(LEASE);
    let record = lock.record();
    let (raw, now) = (bytes(&record.state), lock.rig.now());
    let state = State::parse(&raw).expect("a state");
    assert_eq!((state.tag, state.computed), ("a", false));
    assert_eq!(
        state.to_string().as_bytes(),
        raw,
        "the state is stored in its printed form"
    );
    assert!(state.timestamp as u64 <= now && state.timestamp as u64 + 600_000_000 > now);
    let value = lock.value();
    assert_eq!((value.header.tag.as_str(), value.header.fence), ("a", fence));
    assert_eq!((value.header.value, value.header.holder), (None, holder()));
}

fn a_repeated_acquire_returns_the_same_fence(lock: &mut Lock<'_>) {
    let fence = lock.grant("a");
    assert_eq!(lock.acquire("a"), Reply::Acquired(fence));
    assert_eq!(
        lock.acquire_with("a", |a| a.cached = false),
        Reply::Acquired(fence)
    );
}

fn a_repeated_acquire_renews_the_lease(lock: &mut Lock<'_>) {
    let fence = lock.grant("a");
    let before = lock.record();
    lock.rig.advance(LEASE / 2);
    assert_eq!(lock.acquire("a"), Reply::Acquired(fence));
    lock.assert_both_remaining(LEASE);
    let after = lock.record();
    assert_eq!(
        bytes(&after.state),
        bytes(&before.state),
        "the timestamp of the first grant stays"
    );
    assert_eq!(bytes(&after.value), bytes(&before.value));
}

fn a_repeated_acquire_without_its_value_returns_a_new_fence(lock: &mut Lock<'_>) {
    let contents = [
        Foreign::Nothing,
        Foreign::WrongType,
        Foreign::Bytes("garbage".into(), None),
    ];
    for content in contents {
        let old = lock.grant("a");
        lock.put(Entry::Value, content);
        let new = lock.grant("a");
        assert!(new > old);
        assert_eq!(lock.publish("a", old, Some(b"old")), Reply::Lost);
        assert_eq!(lock.renew("a", new), Reply::Renewed);
    }
    let old = lock.grant("a");
    let other = lock.value().print();
    let other = String::from_utf8_lossy(&other).replace("dspinlock1,a,", "dspinlock1,b,");
    lock.put_value(other, None);
    assert!(
        lock.grant("a") > old,
        "a value of another tag does not belong to this call"
    );
}

fn a_repeated_acquire_after_publish_returns_the_own_value(lock: &mut Lock<'_>) {
    let fence = lock.compute("a", Some(b"mine"));
    for cached in [true, false] {
        let (value, left) = hit(lock.acquire_with("a", |a| a.cached = cached));
        assert_eq!((value.payload.as_ref(), value.fence), (b"mine".as_slice(), fence));
        assert_remaining(left, TTL);
    }
    let own = hit(lock.acquire_with("a", |a| a.fail_if_key_exists = true));
    assert_eq!(own.0.payload.as_ref(), b"mine");
    assert_eq!(lock.acquire_with("a", |a| a.want_value = false), Reply::Done);
    assert_eq!(lock.delete(), Reply::Deleted(true));
    lock.compute("b", None);
    assert_eq!(lock.acquire("b"), Reply::Done);
}

fn fail_if_key_exists_reports_an_existing_key(lock: &mut Lock<'_>) {
    let exists = |lock: &mut Lock<'_>| match lock.acquire_with("b", |a| a.fail_if_key_exists = true) {
        Reply::Exists(left) => left,
        other => panic!("{other:?}"),
    };
    let fence = lock.grant("a");
    assert_remaining(exists(lock), LEASE);
    assert_eq!(lock.publish("a", fence, Some(b"value")), Reply::Published);
    assert_remaining(exists(lock), TTL);
    lock.rig.advance(TTL + LEASE);
    acquired(&lock.acquire_with("b", |a| a.fail_if_key_exists = true));
}

fn fail_if_key_exists_allows_a_repeated_acquire(lock: &mut Lock<'_>) {
    let fence = acquired(&lock.acquire_with("a", |a| a.fail_if_key_exists = true));
    let again = lock.acquire_with("a", |a| a.fail_if_key_exists = true);
    assert_eq!(again, Reply::Acquired(fence));
}

fn a_cached_value_is_a_hit(lock: &mut Lock<'_>) {
    let fence = lock.compute("a", Some(b"\0value\n"));
    let (found, left) = hit(lock.acquire("b"));
    assert_remaining(left, TTL);
    assert_eq!(found.payload.as_ref(), b"\0value\n");
    assert_eq!(
        (found.tag.as_ref(), found.fence, found.life),
        (b"a".as_ref(), fence, TTL)
    );
    assert!(found.is_intact());
}

fn a_refused_value_is_computed_again(lock: &mut Lock<'_>) {
    let old = lock.compute("a", Some(b"strange"));
    hit(lock.acquire_with("b", |a| a.refuse = Some("z".into())));
    let new = acquired(&lock.acquire_with("b", |a| a.refuse = Some("a".into())));
    assert!(new > old);
    assert_eq!(lock.read(false), Reply::Miss);
}

fn computed_without_a_value_is_granted_if_a_value_is_wanted(lock: &mut Lock<'_>) {
    let old = lock.compute("a", None);
    assert_eq!(lock.acquire_with("b", |a| a.want_value = false), Reply::Computed);
    assert!(lock.grant("b") > old);
}

fn computed_is_granted_without_cached_if_computed(lock: &mut Lock<'_>) {
    let old = lock.compute("a", Some(b"value"));
    assert_eq!(lock.acquire_with("b", |a| a.want_value = false), Reply::Computed);
    let new = acquired(&lock.acquire_with("b", |a| a.cached = false));
    assert!(new > old);
    assert_eq!(lock.read(false), Reply::Miss, "a grant removes the old value");
}

fn a_value_of_another_tag_is_not_a_hit(lock: &mut Lock<'_>) {
    let old = lock.compute("a", Some(b"value"));
    lock.put_state(state("b", "1"), Some(TTL));
    assert_eq!(lock.acquire_with("c", |a| a.want_value = false), Reply::Computed);
    assert!(lock.grant("c") > old);
}

fn a_value_above_the_bound_is_computed_again(lock: &mut Lock<'_>) {
    lock.compute("a", Some(b"value"));
    hit(lock.acquire("b"));
    let size = lock.size();
    hit(lock.acquire_with("b", |a| a.bound = size));
    acquired(&lock.acquire_with("b", |a| a.bound = size - 1));
}

fn fences_grow(lock: &mut Lock<'_>) {
    let mut last = 0;
    let mut assert_grown = |fence: u64| {
        assert!(fence > last, "fence {fence} after {last}");
        last = fence;
    };
    assert_grown(lock.grant("a"));
    assert_eq!(lock.abort("a"), Reply::Aborted(true));
    assert_grown(lock.grant("b"));
    lock.rig.advance(AFTER_LEASE);
    assert_grown(lock.grant("c"));
    assert_eq!(lock.delete(), Reply::Deleted(true));
    assert_grown(lock.compute("d", Some(b"value")));
    assert_grown(acquired(&lock.acquire_with("e", |a| a.cached = false)));
    let raw = busy(lock.acquire("f")).raw;
    assert_grown(acquired(&lock.acquire_with("f", |a| a.stale = Some(raw))));
}

fn a_fence_is_greater_than_the_stored_one(lock: &mut Lock<'_>) {
    let header = |fence: u64| format!("dspinlock1,z,{fence},-,0,0,0,0,0,0,1,host,site\n");
    let far = 1 << 52;
    lock.put_value(header(far), None);
    assert_eq!(lock.acquire("a"), Reply::Acquired(far + 1));
    assert_eq!(lock.abort("a"), Reply::Aborted(true));
    assert_eq!(lock.acquire("b"), Reply::Acquired(far + 2));
    assert_eq!(lock.delete(), Reply::Deleted(true));
    lock.put_value(header(MAX_FENCE), None);
    assert_eq!(lock.acquire("a"), Reply::Acquired(MAX_FENCE));
    assert_eq!(lock.delete(), Reply::Deleted(true));
    lock.put_value(header(MAX_FENCE + 1), None);
    assert!(
        acquired(&lock.acquire("a")) < far,
        "a header with a fence above the maximum is malformed"
    );
}

fn a_grant_overwrites_a_malformed_value(lock: &mut Lock<'_>) {
    let contents = [
        Foreign::WrongType,
        Foreign::Bytes("garbage\n".into(), None),
        Foreign::Bytes("".into(), Some(TTL)),
        Foreign::Bytes(vec![b'x'; 5000].into(), None),
    ];
    for content in contents {
        lock.put(Entry::Value, content);
        let fence = lock.grant("a");
        lock.assert_both_remaining(LEASE);
        assert_eq!(lock.publish("a", fence, Some(b"value")), Reply::Published);
        lock.assert_both_remaining(TTL);
        assert_eq!(lock.delete(), Reply::Deleted(true));
        assert_eq!(lock.record().value, Slot::Absent);
    }
}

fn a_value_of_a_megabyte_is_returned_unchanged(lock: &mut Lock<'_>) {
    let payload: Vec<u8> = (0..1 << 20).map(|at: u32| ((at * 31) >> 3) as u8).collect();
    lock.compute("a", Some(&payload));
    for reply in [lock.acquire("b"), lock.read(false), lock.read(true)] {
        let (value, _) = hit(reply);
        assert!(value.is_intact() && value.payload == payload);
    }
}
