use dspinlock_runtime::internals::protocol::Reply;
use dspinlock_runtime::internals::protocol::record::Slot;
use dspinlock_runtime::internals::protocol::state::State;

use super::lock::*;
use crate::bench::{Entry, Foreign};

super::list! {
    steps alone {
        a_renewal_keeps_the_key_beyond_its_first_lease,
        a_holder_needs_tag_and_fence,
        a_result_is_published_once,
        nothing_is_published_to_a_key_that_is_gone,
        an_empty_payload_is_a_value,
        an_abort_frees_the_key_at_once,
        an_abort_is_by_tag_and_of_a_held_key_alone,
        a_deleted_key_is_free_and_its_holder_has_lost,
    }
    past the protocol {
        a_renewal_is_a_full_lease_for_both_entries,
        a_holder_without_its_value_has_lost,
        what_was_lost_is_not_touched,
        a_published_result_ends_at_one_moment,
        a_result_without_a_value_leaves_the_fence,
        an_abort_leaves_the_last_fence,
        delete_is_told_of_the_state_alone,
    }
}

fn a_renewal_keeps_the_key_beyond_its_first_lease(lock: &mut Lock<'_>) {
    let fence = lock.grant("a");
    for _ in 0..3 {
        lock.bench.advance(LEASE / 3 * 2);
        assert_eq!(lock.renew("a", fence), Reply::Renewed);
    }
    assert_left(busy(lock.acquire("b")).remaining, LEASE);
    assert_eq!(lock.publish("a", fence, Some(b"value")), Reply::Published);
    assert_eq!(
        lock.renew("a", fence),
        Reply::Lost,
        "there is nothing to hold any more"
    );
}

fn a_renewal_is_a_full_lease_for_both_entries(lock: &mut Lock<'_>) {
    let fence = lock.grant("a");
    let before = lock.record();
    lock.bench.advance(LEASE / 2);
    assert_eq!(lock.renew("a", fence), Reply::Renewed);
    lock.assert_both_left(LEASE);
    let after = lock.record();
    assert_eq!(bytes(&after.state), bytes(&before.state));
    assert_eq!(bytes(&after.value), bytes(&before.value));
}

fn a_holder_needs_tag_and_fence(lock: &mut Lock<'_>) {
    let fence = lock.grant("a");
    for (tag, wrong) in [
        ("a", fence + 1),
        ("a", fence - 1),
        ("a", 0),
        ("b", fence),
        ("A", fence),
    ] {
        assert_eq!(lock.renew(tag, wrong), Reply::Lost);
        assert_eq!(lock.publish(tag, wrong, Some(b"value")), Reply::Lost);
    }
    assert_eq!(lock.renew("a", fence), Reply::Renewed);
    assert_eq!(lock.publish("a", fence, Some(b"value")), Reply::Published);
    assert_eq!(lock.publish("b", fence, Some(b"other")), Reply::Lost);
    assert_eq!(lock.publish("a", fence + 1, Some(b"other")), Reply::Lost);
}

fn a_holder_without_its_value_has_lost(lock: &mut Lock<'_>) {
    for content in [
        Foreign::Nothing,
        Foreign::WrongType,
        Foreign::Bytes("garbage".into(), None),
    ] {
        let fence = lock.grant("a");
        lock.put(Entry::Value, content);
        lock.untouched(|lock| {
            assert_eq!(lock.renew("a", fence), Reply::Lost);
            assert_eq!(lock.publish("a", fence, Some(b"value")), Reply::Lost);
        });
        assert_eq!(lock.abort("a"), Reply::Aborted(true));
    }
}

fn what_was_lost_is_not_touched(lock: &mut Lock<'_>) {
    let old = lock.grant("a");
    let raw = busy(lock.acquire("b")).raw;
    let new = acquired(&lock.acquire_with("b", |a| a.stale = Some(raw)));
    let old_holder = |lock: &mut Lock<'_>| {
        assert_eq!(lock.renew("a", old), Reply::Lost);
        assert_eq!(lock.publish("a", old, Some(b"old")), Reply::Lost);
        assert_eq!(lock.abort("a"), Reply::Aborted(false));
    };
    lock.untouched(old_holder);
    assert_eq!(lock.publish("b", new, Some(b"new")), Reply::Published);
    lock.untouched(old_holder);
    assert_eq!(lock.delete(), Reply::Deleted(true));
    lock.untouched(old_holder);
}

fn a_published_result_ends_at_one_moment(lock: &mut Lock<'_>) {
    let fence = lock.compute("a", Some(b"value"));
    lock.assert_both_left(TTL);
    let record = lock.record();
    let raw = bytes(&record.state);
    let state = State::parse(&raw).expect("a state");
    assert_eq!((state.tag, state.computed), ("a", true));
    assert_eq!(state.to_string().as_bytes(), raw);
    let value = lock.value();
    let stored = value.header.value.clone().expect("a value's facts");
    assert_eq!((value.header.tag.as_str(), value.header.fence), ("a", fence));
    assert_eq!(value.header.holder, holder());
    assert_eq!(
        (stored.tag.as_str(), stored.fence, stored.elapsed),
        ("a", fence, 1234)
    );
    assert_eq!(Some(stored.fresh_until), until(&record.value));
    assert_eq!(stored.created_at, state.timestamp as u64);
    assert_eq!(
        value.print(),
        bytes(&record.value),
        "written exactly as it is printed"
    );
    lock.bench.advance(TTL - LEASE);
    hit(lock.read(false));
    lock.bench.advance(LAPSE);
    assert_eq!(lock.read(false), Reply::Miss);
    assert_eq!(lock.read(true), Reply::Miss);
    lock.grant("b");
}

fn a_result_without_a_value_leaves_the_fence(lock: &mut Lock<'_>) {
    let fence = lock.compute("a", None);
    lock.assert_both_left(TTL);
    let value = lock.value();
    assert_eq!((value.header.fence, value.header.value), (fence, None));
    assert_eq!(lock.read(false), Reply::Miss);
    assert_eq!(lock.read(true), Reply::Miss);
    assert_eq!(lock.publish("a", fence, None), Reply::Done);
}

fn an_empty_payload_is_a_value(lock: &mut Lock<'_>) {
    lock.compute("a", Some(b""));
    for reply in [lock.read(false), lock.read(true), lock.acquire("b")] {
        let (value, _) = hit(reply);
        assert!(value.payload.is_empty() && value.is_intact());
    }
}

fn a_result_is_published_once(lock: &mut Lock<'_>) {
    let fence = lock.compute("a", Some(b"first"));
    assert_eq!(lock.publish("a", fence, Some(b"second")), Reply::Done);
    assert_eq!(hit(lock.read(false)).0.payload.as_ref(), b"first");
}

fn nothing_is_published_to_a_key_that_is_gone(lock: &mut Lock<'_>) {
    let fence = lock.grant("a");
    assert_eq!(lock.abort("a"), Reply::Aborted(true));
    assert_eq!(lock.publish("a", fence, Some(b"value")), Reply::Lost);
    assert_eq!(lock.renew("a", fence), Reply::Lost);
    assert_eq!(lock.read(false), Reply::Miss);
    lock.grant("b");
}

fn an_abort_frees_the_key_at_once(lock: &mut Lock<'_>) {
    let old = lock.grant("a");
    assert_eq!(lock.abort("a"), Reply::Aborted(true));
    assert_eq!(lock.abort("a"), Reply::Aborted(false));
    let new = acquired(&lock.acquire_with("b", |a| a.fail_if_key_exists = true));
    assert!(new > old);
}

fn an_abort_leaves_the_last_fence(lock: &mut Lock<'_>) {
    lock.grant("a");
    let before = lock.record();
    assert_eq!(lock.abort("a"), Reply::Aborted(true));
    let after = lock.record();
    assert_eq!((after.state, after.value), (Slot::Absent, before.value));
    // A list is no fence, but nobody asked to take it away either.
    lock.grant("b");
    lock.put(Entry::Value, Foreign::WrongType);
    assert_eq!(lock.abort("b"), Reply::Aborted(true));
    let after = lock.record();
    assert_eq!((after.state, after.value), (Slot::Absent, Slot::WrongType));
}

fn an_abort_is_by_tag_and_of_a_held_key_alone(lock: &mut Lock<'_>) {
    assert_eq!(lock.abort("a"), Reply::Aborted(false));
    let fence = lock.grant("a");
    assert_eq!(lock.abort("b"), Reply::Aborted(false));
    assert_eq!(lock.publish("a", fence, Some(b"value")), Reply::Published);
    assert_eq!(lock.abort("a"), Reply::Aborted(false));
    hit(lock.read(true));
}

fn a_deleted_key_is_free_and_its_holder_has_lost(lock: &mut Lock<'_>) {
    let old = lock.grant("a");
    assert_eq!(lock.delete(), Reply::Deleted(true));
    assert_eq!(lock.delete(), Reply::Deleted(false));
    assert_eq!(lock.renew("a", old), Reply::Lost);
    assert_eq!(lock.publish("a", old, Some(b"value")), Reply::Lost);
    assert!(lock.grant("a") > old);
    assert_eq!(lock.publish("a", old, Some(b"value")), Reply::Lost);
}

fn delete_is_told_of_the_state_alone(lock: &mut Lock<'_>) {
    lock.compute("a", Some(b"value"));
    lock.put(Entry::State, Foreign::Nothing);
    assert_eq!(lock.delete(), Reply::Deleted(false));
    assert_eq!(lock.record().value, Slot::Absent, "the value went with it");
}
