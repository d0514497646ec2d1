//! RENEW, PUBLISH, RELEASE, ABORT and DELETE of keys of either encoding.

use dspinlock_runtime::internals::protocol::Reply;
use dspinlock_runtime::internals::protocol::record::Entry;
use dspinlock_runtime::internals::protocol::tag::Id;

use super::lock::*;
use crate::rig::Foreign;

super::list! {
    steps only {
        a_renewed_lease_outlives_the_first_lease,
        renew_publish_and_release_need_tag_and_fence,
        a_release_that_was_sent_before_is_done_whatever_it_meets,
        an_aborted_holder_cannot_publish,
        an_abort_frees_the_key_at_once,
        abort_needs_the_tag_of_the_holder,
        a_deleted_key_is_free_and_its_holder_is_lost,
    }
    raw access {
        renew_sets_a_full_lease,
        a_lost_holder_changes_nothing,
        a_removed_entry_is_not_written_again,
        delete_removes_every_entry,
    }
}

fn a_renewed_lease_outlives_the_first_lease(lock: &mut Lock<'_>) {
    let id = lock.grant("a");
    for _ in 0..3 {
        lock.rig.advance(LEASE / 3 * 2);
        assert_eq!(lock.renew(id), Reply::Renewed);
    }
    assert_remaining(busy(lock.acquire("b")).remaining, LEASE);
    assert_eq!(lock.publish(id, Some(b"value")), Reply::Published);
    assert_eq!(lock.renew(id), Reply::Lost, "a published lease cannot be renewed");
}

fn renew_sets_a_full_lease(lock: &mut Lock<'_>) {
    let id = lock.grant("a");
    let before = lock.bytes();
    lock.rig.advance(LEASE / 2);
    assert_eq!(lock.renew(id), Reply::Renewed);
    lock.assert_expires_in(LEASE);
    assert_eq!(lock.bytes(), before);
}

fn renew_publish_and_release_need_tag_and_fence(lock: &mut Lock<'_>) {
    let id = lock.grant("a");
    let Id { tag: own, fence } = id;
    for (tag, fence) in [
        (own, fence + 1),
        (own, fence - 1),
        (own, 0),
        (tag("b"), fence),
        (tag("A"), fence),
    ] {
        let wrong = Id { tag, fence };
        assert_eq!(lock.renew(wrong), Reply::Lost);
        assert_eq!(lock.publish(wrong, Some(b"value")), Reply::Lost);
        assert_eq!(lock.release(wrong, false), Reply::Lost);
    }
    assert_eq!(lock.renew(id), Reply::Renewed);
    assert_eq!(lock.publish(id, Some(b"value")), Reply::Published);
    assert_eq!(lock.publish(id, Some(b"value")), Reply::Done);
    for (tag, fence) in [(tag("b"), fence), (own, fence + 1)] {
        assert_eq!(lock.publish(Id { tag, fence }, Some(b"other")), Reply::Lost);
    }
    assert!(lock.shows(b"value"));
}

fn a_release_that_was_sent_before_is_done_whatever_it_meets(lock: &mut Lock<'_>) {
    let id = lock.grant("a");
    assert_eq!(lock.release(id, true), Reply::Released);
    assert_eq!(lock.release(id, true), Reply::Done);
    assert_eq!(lock.release(id, false), Reply::Lost);
    let other = lock.grant("b");
    assert_eq!(lock.release(id, true), Reply::Done);
    assert_eq!(lock.renew(other), Reply::Renewed);
}

fn a_lost_holder_changes_nothing(lock: &mut Lock<'_>) {
    let old = lock.grant("a");
    let new = acquired(&lock.acquire_with("b", |a| a.seize = true));
    let old_holder = |lock: &mut Lock<'_>| {
        assert_eq!(lock.renew(old), Reply::Lost);
        assert_eq!(lock.publish(old, Some(b"old")), Reply::Lost);
        assert_eq!(lock.release(old, false), Reply::Lost);
        assert_eq!(lock.abort("a"), Reply::Aborted(false));
    };
    lock.assert_unchanged(old_holder);
    assert_eq!(lock.publish(new, Some(b"new")), Reply::Published);
    lock.assert_unchanged(old_holder);
    assert_eq!(lock.delete(), Reply::Deleted(true));
    lock.assert_unchanged(old_holder);
}

fn a_removed_entry_is_not_written_again(lock: &mut Lock<'_>) {
    let id = lock.grant("a");
    lock.put(Foreign::Nothing);
    assert_eq!(lock.renew(id), Reply::Lost);
    assert_eq!(lock.publish(id, Some(b"value")), Reply::Lost);
    assert_eq!(lock.entry(), Entry::Absent);
}

fn an_aborted_holder_cannot_publish(lock: &mut Lock<'_>) {
    let id = lock.grant("a");
    assert_eq!(lock.abort("a"), Reply::Aborted(true));
    assert_eq!(lock.publish(id, Some(b"value")), Reply::Lost);
    assert_eq!(lock.renew(id), Reply::Lost);
    assert_eq!(lock.read(), Reply::Miss);
    lock.grant("b");
}

fn an_abort_frees_the_key_at_once(lock: &mut Lock<'_>) {
    let old = lock.grant("a");
    assert_eq!(lock.abort("a"), Reply::Aborted(true));
    assert_eq!(lock.abort("a"), Reply::Aborted(false));
    let new = acquired(&lock.acquire_with("b", |a| a.fail_if_key_exists = true));
    assert!(new.fence > old.fence);
}

fn abort_needs_the_tag_of_the_holder(lock: &mut Lock<'_>) {
    assert_eq!(lock.abort("a"), Reply::Aborted(false));
    let id = lock.grant("a");
    assert_eq!(lock.abort("b"), Reply::Aborted(false));
    assert_eq!(lock.publish(id, Some(b"value")), Reply::Published);
    assert_eq!(lock.abort("a"), Reply::Aborted(false), "a result stays");
    assert!(lock.shows(b"value"));
}

fn a_deleted_key_is_free_and_its_holder_is_lost(lock: &mut Lock<'_>) {
    let old = lock.grant("a");
    assert_eq!(lock.delete(), Reply::Deleted(true));
    assert_eq!(lock.delete(), Reply::Deleted(false));
    assert_eq!(lock.renew(old), Reply::Lost);
    assert_eq!(lock.publish(old, Some(b"value")), Reply::Lost);
    assert!(lock.grant("a").fence > old.fence);
    assert_eq!(lock.publish(old, Some(b"value")), Reply::Lost);
}

fn delete_removes_every_entry(lock: &mut Lock<'_>) {
    for content in [
        Foreign::WrongType,
        Foreign::Bytes("garbage".into(), None),
        Foreign::Bytes(lock.grant("a").to_string().into(), Some(TTL)),
    ] {
        lock.put(content);
        assert_eq!(lock.delete(), Reply::Deleted(true));
        assert_eq!(lock.entry(), Entry::Absent);
    }
}
