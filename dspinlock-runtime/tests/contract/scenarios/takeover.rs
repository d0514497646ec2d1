//! ACQUIRE on a key that another holder has: BUSY, and an expired lease.

use dspinlock_runtime::internals::protocol::Reply;
use dspinlock_runtime::internals::protocol::tag::Id;

use super::lock::*;

super::list! {
    steps only {
        a_held_key_is_busy,
        an_expired_lease_frees_the_key,
    }
    raw access {
        busy_returns_the_whole_line_and_changes_nothing,
        busy_sets_an_expiry_on_an_entry_without_one,
    }
}

fn a_held_key_is_busy(lock: &mut Lock<'_>) {
    lock.grant("a");
    let before = lock.rig.now();
    let seen = busy(lock.acquire("b"));
    assert_remaining(seen.remaining, LEASE);
    assert!((before..before + 600_000_000).contains(&seen.now));
    busy(lock.acquire_with("b", |a| a.cached = false));
    busy(lock.acquire_with("b", |a| a.refuse = Some(tag("a"))));
}

fn busy_returns_the_whole_line_and_changes_nothing(lock: &mut Lock<'_>) {
    lock.grant("a");
    lock.rig.advance(LEASE / 2);
    let seen = lock.assert_unchanged(|lock| busy(lock.acquire("b")));
    assert_eq!(seen.line, lock.bytes().trim_ascii_end());
    assert_remaining(seen.remaining, LEASE / 2);
}

fn busy_sets_an_expiry_on_an_entry_without_one(lock: &mut Lock<'_>) {
    let id = Id {
        tag: tag("z"),
        fence: 7,
    };
    let text = lock.blocked(id);
    lock.put_bytes(text.clone(), None);
    assert_remaining(busy(lock.acquire("a")).remaining, MAX_BLOCK);
    assert_eq!(lock.bytes(), text);
    lock.assert_expires_in(MAX_BLOCK);
    lock.rig.advance(LEASE);
    assert_remaining(busy(lock.acquire("a")).remaining, MAX_BLOCK - LEASE);
    lock.rig.advance(MAX_BLOCK);
    lock.grant("a");
}

fn an_expired_lease_frees_the_key(lock: &mut Lock<'_>) {
    let old = lock.grant("a");
    lock.rig.advance(AFTER_LEASE);
    assert_eq!(lock.renew(old), Reply::Lost);
    assert_eq!(lock.publish(old, Some(b"old")), Reply::Lost);
    assert_eq!(lock.abort("a"), Reply::Aborted(false));
    assert_eq!(lock.read(), Reply::Miss);
    assert!(lock.grant("b").fence > old.fence);
    assert_eq!(lock.publish(old, Some(b"old")), Reply::Lost);
    busy(lock.acquire("a"));
}
