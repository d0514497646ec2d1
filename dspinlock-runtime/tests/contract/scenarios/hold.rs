//! RENEW, PUBLISH, ABORT and DELETE.

use dspinlock_runtime::internals::protocol::Reply;
use dspinlock_runtime::internals::protocol::record::Slot;
use dspinlock_runtime::internals::protocol::state::State;

use super::lock::*;
use crate::rig::{Entry, Foreign};

super::list! {
    steps only {
        a_renewed_lease_outlives_the_first_lease,
        renew_and_publish_need_tag_and_fence,
        a_result_is_published_once,
        an_aborted_holder_cannot_publish,
        an_empty_payload_is_a_value,
        an_abort_frees_the_key_at_once,
        abort_needs_the_tag_of_the_holder,
        a_deleted_key_is_free_and_its_holder_is_lost,
    }
    raw access {
        renew_sets_a_full_lease_on_both_entries,
        a_holder_without_its_value_is_lost,
        a_lost_holder_changes_nothing,
        both_entries_of_a_result_expire_together,
        publish_without_a_value_keeps_the_fence,
        abort_keeps_the_last_fence,
        delete_reports_whether_a_state_existed,
    }
}

fn a_renewed_lease_outlives_the_first_lease(lock: &mut Lock<'_>) {
    let fence = lock.grant("a");
    for _ in 0..3 {
        lock.rig.advance(LEASE / 3 * 2);
        assert_eq!(lock.renew("a", fence), Reply::Renewed);
    }
    assert_remaining(busy(lock.acquire("b")).remaining, LEASE);
    assert_eq!(lock.publish("a", fence, Some(b"value")), Reply::Published);
    assert_eq!(
        lock.renew("a", fence),
        Reply::Lost,
        "a published lease cannot be renewed"
    );
}

fn renew_sets_a_full_lease_on_both_entries(lock: &mut Lock<'_>) {
    let fence = lock.grant("a");
    let before = lock.record();
    lock.rig.advance(LEASE / 2);
    assert_eq!(lock.renew("a", fence), Reply::Renewed);
    lock.assert_both_remaining(LEASE);
    let after = lock.record();
    assert_eq!(bytes(&after.state), bytes(&before.state));
    assert_eq!(bytes(&after.value), bytes(&before.value));
}

fn renew_and_publish_need_tag_and_fence(lock: &mut Lock<'_>) {
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

fn a_holder_without_its_value_is_lost(lock: &mut Lock<'_>) {
    for content in [
        Foreign::Nothing,
        Foreign::WrongType,
        Foreign::Bytes("garbage".into(), None),
    ] {
        let fence = lock.grant("a");
        lock.put(Entry::Value, content);
        lock.assert_unchanged(|lock| {
            assert_eq!(lock.renew("a", fence), Reply::Lost);
            assert_eq!(lock.publish("a", fence, Some(b"value")), Reply::Lost);
        });
        assert_eq!(lock.abort("a"), Reply::Aborted(true));
    }
}

fn a_lost_holder_changes_nothing(lock: &mut Lock<'_>) {
    let old = lock.grant("a");
    let raw = busy(lock.acquire("b")).raw;
    let new = acquired(&lock.acquire_with("b", |a| a.stale = Some(raw)));
    let old_holder = |lock: &mut Lock<'_>| {
        assert_eq!(lock.renew("a", old), Reply::Lost);
        assert_eq!(lock.publish("a", old, Some(b"old")), Reply::Lost);
        assert_eq!(lock.abort("a"), Reply::Aborted(false));
    };
    lock.assert_unchanged(old_holder);
    assert_eq!(lock.publish("b", new, Some(b"new")), Reply::Published);
    lock.assert_unchanged(old_holder);
    assert_eq!(lock.delete(), Reply::Deleted(true));
    lock.assert_unchanged(old_holder);
}

fn both_entries_of_a_result_expire_together(lock: &mut Lock<'_>) {
    let fence = lock.compute("a", Some(b"value"));
    lock.assert_both_remaining(TTL);
    let record = lock.record();
    let raw = bytes(&record.state);
    let state = State::parse(&raw).expect("a state");
    assert_eq!((state.tag, state.computed), ("a", true));
    assert_eq!(state.to_string().as_bytes(), raw);
    let value = lock.value();
    let stored = value.header.value.clone().expect("the header describes a value");
    assert_eq!((value.header.tag.as_str(), value.header.fence), ("a", fence));
    assert_eq!(value.header.holder, holder());
    assert_eq!(
        (stored.tag.as_str(), stored.fence, stored.elapsed),
        ("a", fence, 1234)
    );
    lock.assert_same_deadline(Some(stored.fresh_until), until(&record.value));
    assert_eq!(stored.created_at, state.timestamp as u64);
    assert_eq!(
        value.print(),
        bytes(&record.value),
        "the value is stored in its printed form"
    );
    lock.rig.advance(TTL - LEASE);
    hit(lock.read(false));
    lock.rig.advance(AFTER_LEASE);
    assert_eq!(lock.read(false), Reply::Miss);
    assert_eq!(lock.read(true), Reply::Miss);
    lock.grant("b");
}

fn publish_without_a_value_keeps_the_fence(lock: &mut Lock<'_>) {
    let fence = lock.compute("a", None);
    lock.assert_both_remaining(TTL);
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

fn an_aborted_holder_cannot_publish(lock: &mut Lock<'_>) {
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

fn abort_keeps_the_last_fence(lock: &mut Lock<'_>) {
    lock.grant("a");
    let before = lock.record();
    assert_eq!(lock.abort("a"), Reply::Aborted(true));
    let after = lock.record();
    assert_eq!((after.state, after.value), (Slot::Absent, before.value));
    // ABORT also keeps an entry of another type.
    lock.grant("b");
    lock.put(Entry::Value, Foreign::WrongType);
    assert_eq!(lock.abort("b"), Reply::Aborted(true));
    let after = lock.record();
    assert_eq!((after.state, after.value), (Slot::Absent, Slot::WrongType));
}

fn abort_needs_the_tag_of_the_holder(lock: &mut Lock<'_>) {
    assert_eq!(lock.abort("a"), Reply::Aborted(false));
    let fence = lock.grant("a");
    assert_eq!(lock.abort("b"), Reply::Aborted(false));
    assert_eq!(lock.publish("a", fence, Some(b"value")), Reply::Published);
    assert_eq!(lock.abort("a"), Reply::Aborted(false));
    hit(lock.read(true));
}

fn a_deleted_key_is_free_and_its_holder_is_lost(lock: &mut Lock<'_>) {
    let old = lock.grant("a");
    assert_eq!(lock.delete(), Reply::Deleted(true));
    assert_eq!(lock.delete(), Reply::Deleted(false));
    assert_eq!(lock.renew("a", old), Reply::Lost);
    assert_eq!(lock.publish("a", old, Some(b"value")), Reply::Lost);
    assert!(lock.grant("a") > old);
    assert_eq!(lock.publish("a", old, Some(b"value")), Reply::Lost);
}

fn delete_reports_whether_a_state_existed(lock: &mut Lock<'_>) {
    lock.compute("a", Some(b"value"));
    lock.put(Entry::State, Foreign::Nothing);
    assert_eq!(lock.delete(), Reply::Deleted(false));
    assert_eq!(lock.record().value, Slot::Absent, "the value is removed too");
}
