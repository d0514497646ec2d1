//! ACQUIRE on a free, a held and a computed key of either encoding.

use dspinlock_runtime::internals::protocol::Reply;
use dspinlock_runtime::internals::protocol::tag::{Id, MAX_FENCE};

use super::lock::*;

super::list! {
    steps only {
        a_repeated_acquire_returns_the_same_grant,
        fail_if_key_exists_reports_an_existing_key,
        fail_if_key_exists_allows_a_repeated_acquire,
        computed_is_granted_without_cached_if_computed,
        fences_grow,
        a_seized_key_has_a_greater_fence_whatever_was_there,
        a_late_copy_of_a_seize_or_of_its_publish_is_lost,
    }
    raw access {
        a_grant_is_written_with_its_lease,
        a_repeated_acquire_renews_the_lease,
        a_fence_is_greater_than_the_stored_one,
    }
}

fn a_grant_is_written_with_its_lease(lock: &mut Lock<'_>) {
    let id = lock.grant("a");
    lock.assert_expires_in(LEASE);
    let text = String::from_utf8(lock.bytes().to_vec()).expect("a text");
    if lock.is_shared() {
        let own = format!("_______________a.{:016}.4711@host,", id.fence);
        assert!(text.starts_with(&own) && text.ends_with("+00:00,0"), "{text}");
    } else {
        assert_eq!(text, format!("B{id}4711,host,,,module::function<A, B>\n"));
    }
    let now = lock.rig.now();
    assert!(id.fence <= now && id.fence + 600_000_000 > now);
}

fn a_repeated_acquire_returns_the_same_grant(lock: &mut Lock<'_>) {
    let id = lock.grant("a");
    assert_eq!(lock.acquire("a"), Reply::Acquired(id));
    assert_eq!(lock.acquire_with("a", |a| a.cached = false), Reply::Acquired(id));
    assert_eq!(lock.publish(id, Some(b"value")), Reply::Published);
    let after = lock.acquire("a");
    assert!(matches!(after, Reply::Hit(..) | Reply::Done), "{after:?}");
}

fn a_repeated_acquire_renews_the_lease(lock: &mut Lock<'_>) {
    let id = lock.grant("a");
    let before = lock.bytes();
    lock.rig.advance(LEASE / 2);
    assert_eq!(lock.acquire("a"), Reply::Acquired(id));
    lock.assert_expires_in(LEASE);
    assert_eq!(lock.bytes(), before);
}

fn fail_if_key_exists_reports_an_existing_key(lock: &mut Lock<'_>) {
    let report = |lock: &mut Lock<'_>| exists(lock.acquire_with("b", |a| a.fail_if_key_exists = true));
    let id = lock.grant("a");
    let held = report(lock);
    assert_remaining(held.remaining, LEASE);
    let whole = if lock.is_shared() {
        "4711@host"
    } else {
        "4711,host,,,module::function<A, B>"
    };
    let line = String::from_utf8_lossy(&held.line).into_owned();
    assert!(line.contains(whole) && !line.contains('\n'), "{line}");
    assert!(held.now.abs_diff(lock.rig.now()) < 600_000_000);
    assert_eq!(lock.publish(id, Some(b"value")), Reply::Published);
    let computed = report(lock);
    assert_remaining(computed.remaining, TTL);
    assert!(!computed.line.contains(&b'\n'), "{computed:?}");
    lock.rig.advance(TTL + LEASE);
    acquired(&lock.acquire_with("b", |a| a.fail_if_key_exists = true));
}

fn fail_if_key_exists_allows_a_repeated_acquire(lock: &mut Lock<'_>) {
    let id = acquired(&lock.acquire_with("a", |a| a.fail_if_key_exists = true));
    let again = lock.acquire_with("a", |a| a.fail_if_key_exists = true);
    assert_eq!(again, Reply::Acquired(id));
}

fn computed_is_granted_without_cached_if_computed(lock: &mut Lock<'_>) {
    let old = lock.compute("a", Some(b"value"));
    let new = acquired(&lock.acquire_with("b", |a| a.cached = false));
    assert!(new.fence > old.fence);
    assert_eq!(lock.read(), Reply::Miss, "a grant removes the old result");
    assert_eq!(lock.abort("b"), Reply::Aborted(true));
    assert_eq!(lock.read(), Reply::Miss);
}

fn fences_grow(lock: &mut Lock<'_>) {
    let mut last = 0;
    let mut assert_grown = |id: Id| {
        assert!(id.fence > last, "{id:?} after {last}");
        last = id.fence;
    };
    assert_grown(lock.grant("a"));
    assert_eq!(lock.abort("a"), Reply::Aborted(true));
    assert_grown(lock.grant("b"));
    lock.rig.advance(AFTER_LEASE);
    assert_grown(lock.grant("c"));
    assert_eq!(lock.delete(), Reply::Deleted(true));
    assert_grown(lock.compute("d", Some(b"value")));
    assert_grown(acquired(&lock.acquire_with("e", |a| a.cached = false)));
    assert_grown(acquired(&lock.acquire_with("f", |a| a.seize = true)));
}

fn a_fence_is_greater_than_the_stored_one(lock: &mut Lock<'_>) {
    let far = 1 << 52;
    for (stored, next) in [(far, far + 1), (MAX_FENCE, MAX_FENCE)] {
        let other = Id {
            tag: tag("z"),
            fence: stored,
        };
        lock.put_bytes(lock.blocked(other), Some(TTL));
        assert_eq!(lock.renew(other), Reply::Renewed);
        assert_eq!(acquired(&lock.acquire_with("a", |a| a.seize = true)).fence, next);
        lock.delete();
    }
}

fn a_seized_key_has_a_greater_fence_whatever_was_there(lock: &mut Lock<'_>) {
    let seize = |lock: &mut Lock<'_>, name| acquired(&lock.acquire_with(name, |a| a.seize = true));
    let first = seize(lock, "a");
    let second = seize(lock, "b");
    assert!(second.fence > first.fence);
    assert_eq!(lock.renew(first), Reply::Lost);
    assert_eq!(lock.publish(second, Some(b"value")), Reply::Published);
    assert!(seize(lock, "c").fence > second.fence);
}

fn a_late_copy_of_a_seize_or_of_its_publish_is_lost(lock: &mut Lock<'_>) {
    let mine = acquired(&lock.acquire_with("a", |a| a.seize = true));
    assert_eq!(lock.publish(mine, Some(b"mine")), Reply::Published);
    let other = acquired(&lock.acquire_with("b", |a| a.seize = true));
    assert_eq!(lock.publish(mine, Some(b"mine")), Reply::Lost);
    assert_eq!(lock.publish(other, Some(b"other")), Reply::Published);
    let late = acquired(&lock.acquire_with("a", |a| a.seize = true));
    assert!(late.fence > other.fence);
    assert_eq!(lock.publish(mine, Some(b"mine")), Reply::Lost);
}

/// The store's clock is after the year 2255, in which a fence is [`MAX_FENCE`].
pub(super) fn every_grant_has_the_greatest_fence(lock: &mut Lock<'_>) {
    let first = lock.grant("a");
    assert_eq!(lock.renew(first), Reply::Renewed);
    assert_eq!(lock.publish(first, Some(b"value")), Reply::Published);
    let second = acquired(&lock.acquire_with("b", |a| a.cached = false));
    assert_eq!(lock.publish(first, Some(b"value")), Reply::Lost);
    let third = acquired(&lock.acquire_with("c", |a| a.seize = true));
    assert_eq!(lock.renew(second), Reply::Lost);
    busy(lock.acquire("d"));
    assert_eq!(lock.publish(third, Some(b"value")), Reply::Published);
    assert!(lock.shows(b"value"));
    assert_eq!([first, second, third].map(|id| id.fence), [MAX_FENCE; 3]);
}
