//! ACQUIRE on a key that another holder has: BUSY, takeover, and an expired lease.

use bytes::Bytes;
use dspinlock_runtime::internals::protocol::Reply;
use dspinlock_runtime::internals::protocol::record::Slot;

use super::lock::*;
use crate::rig::{Entry, Foreign};

super::list! {
    steps only {
        a_held_key_is_busy,
        a_takeover_needs_the_exact_state,
        after_a_takeover_the_old_holder_is_lost,
        an_expired_lease_frees_the_key,
    }
    raw access {
        busy_returns_the_state_and_changes_nothing,
        busy_sets_an_expiry_on_a_state_without_one,
        busy_ignores_the_value,
    }
}

fn a_held_key_is_busy(lock: &mut Lock<'_>) {
    lock.grant("a");
    let before = lock.rig.now();
    let seen = busy(lock.acquire("b"));
    assert!(seen.raw.starts_with(b"a,") && seen.raw.ends_with(b",0"));
    assert_remaining(seen.remaining, LEASE);
    assert!(!seen.foreign);
    assert!((before..before + 600_000_000).contains(&seen.now));
    busy(lock.acquire_with("b", |a| (a.cached, a.want_value) = (false, false)));
    busy(lock.acquire_with("b", |a| a.refuse = Some("a".into())));
}

fn busy_returns_the_state_and_changes_nothing(lock: &mut Lock<'_>) {
    lock.grant("a");
    lock.rig.advance(LEASE / 2);
    let seen = lock.assert_unchanged(|lock| busy(lock.acquire("b")));
    assert_eq!(seen.raw, bytes(&lock.record().state));
    assert_remaining(seen.remaining, LEASE / 2);
}

fn busy_sets_an_expiry_on_a_state_without_one(lock: &mut Lock<'_>) {
    let raw = state("python", "0");
    lock.put_state(raw.clone(), None);
    let seen = busy(lock.acquire("a"));
    assert_eq!(seen.raw, raw);
    assert_remaining(seen.remaining, MAX_BLOCK);
    let record = lock.record();
    assert_eq!((bytes(&record.state), record.value), (raw.into(), Slot::Absent));
    assert_remaining(lock.remaining()[0], MAX_BLOCK);
    lock.rig.advance(LEASE);
    assert_remaining(busy(lock.acquire("a")).remaining, MAX_BLOCK - LEASE);
    lock.rig.advance(MAX_BLOCK);
    lock.grant("a");
}

fn busy_ignores_the_value(lock: &mut Lock<'_>) {
    for content in [
        Foreign::Nothing,
        Foreign::WrongType,
        Foreign::Bytes("x".into(), None),
    ] {
        lock.put_state(state("other", "0"), None);
        lock.put(Entry::Value, content);
        let before = lock.record().value;
        assert!(busy(lock.acquire("a")).foreign);
        assert_eq!(lock.record().value, before);
    }
}

fn a_takeover_needs_the_exact_state(lock: &mut Lock<'_>) {
    let old = lock.grant("a");
    let raw = busy(lock.acquire("b")).raw;
    let with = |lock: &mut Lock<'_>, stale: Bytes| lock.acquire_with("b", |a| a.stale = Some(stale));
    busy(with(lock, Bytes::new()));
    busy(with(lock, raw.slice(1..)));
    busy(with(lock, Bytes::from([raw.as_ref(), b" "].concat())));
    assert!(acquired(&with(lock, raw.clone())) > old);
    // "b" has taken over in the meantime, so the state has changed.
    busy(lock.acquire_with("c", |a| a.stale = Some(raw)));
}

fn after_a_takeover_the_old_holder_is_lost(lock: &mut Lock<'_>) {
    let old = lock.grant("a");
    let raw = busy(lock.acquire("b")).raw;
    let new = acquired(&lock.acquire_with("b", |a| a.stale = Some(raw)));
    assert_eq!(lock.renew("a", old), Reply::Lost);
    assert_eq!(lock.publish("a", old, Some(b"old")), Reply::Lost);
    assert_eq!(lock.abort("a"), Reply::Aborted(false));
    assert_eq!(lock.publish("b", new, Some(b"new")), Reply::Published);
    assert_eq!(lock.publish("a", old, Some(b"old")), Reply::Lost);
    assert_eq!(hit(lock.read(false)).0.payload.as_ref(), b"new");
}

fn an_expired_lease_frees_the_key(lock: &mut Lock<'_>) {
    let old = lock.grant("a");
    lock.rig.advance(AFTER_LEASE);
    assert_eq!(lock.renew("a", old), Reply::Lost);
    assert_eq!(lock.publish("a", old, Some(b"old")), Reply::Lost);
    assert_eq!(lock.abort("a"), Reply::Aborted(false));
    assert_eq!(lock.read(false), Reply::Miss);
    assert!(lock.grant("b") > old);
    assert_eq!(lock.publish("a", old, Some(b"old")), Reply::Lost);
    busy(lock.acquire("a"));
}
