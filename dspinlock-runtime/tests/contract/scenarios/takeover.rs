use bytes::Bytes;
use dspinlock_runtime::internals::protocol::Reply;
use dspinlock_runtime::internals::protocol::record::Slot;

use super::lock::*;
use crate::bench::{Entry, Foreign};

super::list! {
    steps alone {
        a_held_key_is_busy,
        a_takeover_needs_the_very_bytes,
        after_a_takeover_the_old_holder_has_lost,
        a_lapsed_lease_frees_the_key,
    }
    past the protocol {
        busy_shows_the_state_and_touches_nothing,
        busy_gives_an_expiry_to_a_state_without_one,
        busy_minds_no_value,
    }
}

fn a_held_key_is_busy(lock: &mut Lock<'_>) {
    lock.grant("a");
    let before = lock.bench.now();
    let seen = busy(lock.acquire("b"));
    assert!(seen.raw.starts_with(b"a,") && seen.raw.ends_with(b",0"));
    assert_left(seen.remaining, LEASE);
    assert!(!seen.foreign);
    assert!((before..before + 600_000_000).contains(&seen.now));
    busy(lock.acquire_with("b", |a| (a.cached, a.want_value) = (false, false)));
    busy(lock.acquire_with("b", |a| a.refuse = Some("a".into())));
}

fn busy_shows_the_state_and_touches_nothing(lock: &mut Lock<'_>) {
    lock.grant("a");
    lock.bench.advance(LEASE / 2);
    let seen = lock.untouched(|lock| busy(lock.acquire("b")));
    assert_eq!(seen.raw, bytes(&lock.record().state));
    assert_left(seen.remaining, LEASE / 2);
}

fn busy_gives_an_expiry_to_a_state_without_one(lock: &mut Lock<'_>) {
    let raw = state("python", "0");
    lock.put_state(raw.clone(), None);
    let seen = busy(lock.acquire("a"));
    assert_eq!(seen.raw, raw);
    assert_left(seen.remaining, MAX_BLOCK);
    let record = lock.record();
    assert_eq!((bytes(&record.state), record.value), (raw.into(), Slot::Absent));
    assert_left(lock.left()[0], MAX_BLOCK);
    lock.bench.advance(LEASE);
    assert_left(busy(lock.acquire("a")).remaining, MAX_BLOCK - LEASE);
    lock.bench.advance(MAX_BLOCK);
    lock.grant("a");
}

fn busy_minds_no_value(lock: &mut Lock<'_>) {
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

fn a_takeover_needs_the_very_bytes(lock: &mut Lock<'_>) {
    let old = lock.grant("a");
    let raw = busy(lock.acquire("b")).raw;
    let with = |lock: &mut Lock<'_>, stale: Bytes| lock.acquire_with("b", |a| a.stale = Some(stale));
    busy(with(lock, Bytes::new()));
    busy(with(lock, raw.slice(1..)));
    busy(with(lock, Bytes::from([raw.as_ref(), b" "].concat())));
    assert!(acquired(&with(lock, raw.clone())) > old);
    // Taken over by another meanwhile: these are no longer the bytes that were judged.
    busy(lock.acquire_with("c", |a| a.stale = Some(raw)));
}

fn after_a_takeover_the_old_holder_has_lost(lock: &mut Lock<'_>) {
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

fn a_lapsed_lease_frees_the_key(lock: &mut Lock<'_>) {
    let old = lock.grant("a");
    lock.bench.advance(LAPSE);
    assert_eq!(lock.renew("a", old), Reply::Lost);
    assert_eq!(lock.publish("a", old, Some(b"old")), Reply::Lost);
    assert_eq!(lock.abort("a"), Reply::Aborted(false));
    assert_eq!(lock.read(false), Reply::Miss);
    assert!(lock.grant("b") > old);
    assert_eq!(lock.publish("a", old, Some(b"old")), Reply::Lost);
    busy(lock.acquire("a"));
}
