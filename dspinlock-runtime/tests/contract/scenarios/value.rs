//! ACQUIRE and PUBLISH of keys that keep a value.

use dspinlock_runtime::internals::protocol::Reply;
use dspinlock_runtime::internals::protocol::header::Hit;

use super::lock::*;

super::list! {
    steps only {
        a_cached_value_is_a_hit,
        a_repeated_acquire_after_publish_returns_the_own_value,
        a_refused_value_is_computed_again,
        computed_without_a_value_is_granted,
        a_value_above_the_bound_is_computed_again,
        a_value_of_a_megabyte_is_returned_unchanged,
        an_empty_payload_is_a_value,
        a_result_is_published_once,
        a_released_key_is_free,
        no_lock_is_taken_over,
    }
    raw access {
        a_result_is_written_with_its_facts,
        a_damaged_header_is_a_hit_that_can_be_refused,
    }
}

fn a_cached_value_is_a_hit(lock: &mut Lock<'_>) {
    let id = lock.compute("a", Some(b"\0value\n"));
    let (found, left) = hit(lock.acquire("b"));
    assert_remaining(left, TTL);
    assert_eq!(found.payload(), b"\0value\n");
    assert_eq!((found.id, found.ttl()), (id, TTL));
    assert!(found.is_intact());
}

fn a_repeated_acquire_after_publish_returns_the_own_value(lock: &mut Lock<'_>) {
    let id = lock.compute("a", Some(b"mine"));
    for cached in [true, false] {
        let (value, left) = hit(lock.acquire_with("a", |a| a.cached = cached));
        assert_eq!((value.payload(), value.id), (b"mine".as_slice(), id));
        assert_remaining(left, TTL);
    }
    hit(lock.acquire_with("a", |a| a.fail_if_key_exists = true));
    assert_eq!(lock.acquire_with("a", |a| a.bound = 0), Reply::Done);
    assert_eq!(lock.delete(), Reply::Deleted(true));
    lock.compute("b", None);
    assert_eq!(lock.acquire("b"), Reply::Done);
}

fn a_refused_value_is_computed_again(lock: &mut Lock<'_>) {
    let old = lock.compute("a", Some(b"strange"));
    hit(lock.acquire_with("b", |a| a.refuse = Some(tag("z"))));
    let new = acquired(&lock.acquire_with("b", |a| a.refuse = Some(tag("a"))));
    assert!(new.fence > old.fence);
    assert_eq!(lock.read(), Reply::Miss);
}

fn computed_without_a_value_is_granted(lock: &mut Lock<'_>) {
    let old = lock.compute("a", None);
    assert_eq!(lock.read(), Reply::Miss);
    exists(lock.acquire_with("b", |a| a.fail_if_key_exists = true));
    assert_eq!(lock.publish(old, None), Reply::Done);
    assert!(lock.grant("b").fence > old.fence);
}

fn a_value_above_the_bound_is_computed_again(lock: &mut Lock<'_>) {
    lock.compute("a", Some(b"value"));
    let size = lock.size();
    hit(lock.acquire_with("b", |a| a.bound = size));
    acquired(&lock.acquire_with("b", |a| a.bound = size - 1));
}

fn a_value_of_a_megabyte_is_returned_unchanged(lock: &mut Lock<'_>) {
    let payload: Vec<u8> = (0..1 << 20).map(|at: u32| ((at * 31) >> 3) as u8).collect();
    let id = lock.compute("a", Some(&payload));
    for reply in [lock.acquire("b"), lock.read()] {
        let (value, _) = hit(reply);
        assert!(value.is_intact() && value.payload() == payload);
    }
    assert_eq!(lock.publish(id, Some(b"other")), Reply::Done);
    let line = exists(lock.acquire_with("b", |a| a.fail_if_key_exists = true)).line;
    assert!(line.len() < 200, "{line:?}");
}

fn an_empty_payload_is_a_value(lock: &mut Lock<'_>) {
    lock.compute("a", Some(b""));
    for reply in [lock.read(), lock.acquire("b")] {
        let (value, _) = hit(reply);
        assert!(value.payload().is_empty() && value.is_intact());
    }
}

fn a_result_is_published_once(lock: &mut Lock<'_>) {
    let id = lock.compute("a", Some(b"first"));
    assert_eq!(lock.publish(id, Some(b"second")), Reply::Done);
    assert_eq!(lock.release(id, false), Reply::Lost);
    assert!(lock.shows(b"first"));
}

fn a_released_key_is_free(lock: &mut Lock<'_>) {
    let id = lock.grant("a");
    assert_eq!(lock.release(id, false), Reply::Released);
    assert_eq!(lock.delete(), Reply::Deleted(false));
}

/// A lease ends by itself.
fn no_lock_is_taken_over(lock: &mut Lock<'_>) {
    let id = lock.grant("a");
    let line = busy(lock.acquire("b")).line;
    busy(lock.acquire_with("b", |a| a.stale = Some(line)));
    assert_eq!(lock.renew(id), Reply::Renewed);
}

fn a_result_is_written_with_its_facts(lock: &mut Lock<'_>) {
    let id = lock.compute("a", Some(b"value"));
    lock.assert_expires_in(TTL);
    let hit = Hit::parse(lock.bytes()).expect("a value");
    assert_eq!(hit.id, id);
    let facts = hit.facts().expect("a header that parses");
    assert_eq!((facts.took, facts.ttl, facts.stale_window), (1234, TTL, 0));
    assert!(hit.header().starts_with(b"4711,host,1234,7200000,0,"));
    assert!(hit.header().ends_with(b",ok,,,module::function<A, B>\n"));
    lock.rig.advance(TTL - LEASE);
    assert!(lock.shows(b"value"));
    lock.rig.advance(AFTER_LEASE);
    assert_eq!(lock.read(), Reply::Miss);
    lock.compute("b", None);
    assert!(lock.bytes().starts_with(b"M"));
    lock.assert_expires_in(TTL);
}

fn a_damaged_header_is_a_hit_that_can_be_refused(lock: &mut Lock<'_>) {
    let id = lock.compute("a", Some(b"value"));
    let whole = lock.bytes();
    for end in 33..whole.len() {
        lock.put_bytes(whole.slice(..end), None);
        let (found, _) = hit(lock.read());
        assert!(!found.is_intact() && found.id == id, "cut at {end}");
        assert!(!hit(lock.acquire("b")).0.is_intact(), "cut at {end}");
        acquired(&lock.acquire_with("b", |a| a.refuse = Some(id.tag)));
    }
    for end in 1..33 {
        lock.put_bytes(whole.slice(..end), None);
        assert_eq!(lock.read(), Reply::Miss, "cut at {end}");
        assert!(matches!(lock.acquire("b"), Reply::Bad(_)), "cut at {end}");
    }
}
