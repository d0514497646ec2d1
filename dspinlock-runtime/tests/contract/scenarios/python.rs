//! py-dspinlock on a shared key. It overwrites the state unconditionally.

use bytes::Bytes;
use dspinlock_runtime::internals::protocol::Reply;
use dspinlock_runtime::internals::protocol::state::BadState;

use super::lock::*;
use super::malformed::assert_kept;
use crate::rig::Foreign;

super::list! {
    steps only {
        a_shared_key_is_computed_without_a_value,
        a_takeover_needs_the_exact_state,
        after_a_takeover_the_old_holder_is_lost,
    }
    raw access {
        a_lock_of_python_is_busy,
        a_result_of_python_is_a_result,
        a_holder_that_python_overwrites_is_lost,
        a_late_release_of_python_loses_the_holder,
        a_foreign_tag_that_resembles_ours_has_no_grant,
        a_publish_keeps_the_tag_of_the_grant,
        a_malformed_state_is_never_overwritten,
        a_state_with_an_unknown_number_is_never_overwritten,
        every_rfc_3339_timestamp_is_accepted,
    }
}

fn a_shared_key_is_computed_without_a_value(lock: &mut Lock<'_>) {
    lock.compute("a", Some(b"value"));
    assert_eq!(lock.read(), Reply::Computed);
    assert_eq!(lock.acquire("b"), Reply::Computed);
    assert_eq!(lock.acquire("a"), Reply::Done);
    acquired(&lock.acquire_with("b", |a| a.cached = false));
    assert_eq!(lock.read(), Reply::Miss);
}

fn a_lock_of_python_is_busy(lock: &mut Lock<'_>) {
    lock.put_bytes(state("python", "0"), Some(LEASE));
    assert_remaining(busy(lock.acquire("a")).remaining, LEASE);
    let held = exists(lock.acquire_with("a", |a| a.fail_if_key_exists = true));
    assert_eq!(held.line, state("python", "0"));
    lock.put_bytes(state("python", "0"), None);
    let unlimited = exists(lock.acquire_with("a", |a| a.fail_if_key_exists = true));
    assert_eq!(unlimited.remaining, None);
    lock.put_bytes(state("python", "0"), Some(LEASE));
    lock.rig.advance(AFTER_LEASE);
    lock.grant("a");
}

fn a_result_of_python_is_a_result(lock: &mut Lock<'_>) {
    lock.put_bytes(state("python", "1"), Some(TTL));
    assert_eq!(lock.read(), Reply::Computed);
    assert_eq!(lock.acquire("a"), Reply::Computed);
    acquired(&lock.acquire_with("a", |a| a.cached = false));
}

fn a_holder_that_python_overwrites_is_lost(lock: &mut Lock<'_>) {
    let id = lock.grant("a");
    lock.put_bytes(state("python", "0"), Some(TTL));
    lock.assert_unchanged(|lock| {
        assert_eq!(lock.renew(id), Reply::Lost);
        assert_eq!(lock.publish(id, Some(b"value")), Reply::Lost);
        assert_eq!(lock.abort("a"), Reply::Aborted(false));
        busy(lock.acquire("a"));
    });
}

fn a_late_release_of_python_loses_the_holder(lock: &mut Lock<'_>) {
    let id = lock.grant("a");
    // The Python worker has lost the lock to "a", and releases it nevertheless.
    lock.put_bytes(state("python", "1"), Some(TTL));
    lock.assert_unchanged(|lock| {
        assert_eq!(lock.publish(id, Some(b"value")), Reply::Lost);
    });
    let next = acquired(&lock.acquire_with("b", |a| a.cached = false));
    assert!(next.fence > id.fence);
}

fn a_foreign_tag_that_resembles_ours_has_no_grant(lock: &mut Lock<'_>) {
    for tag in [
        "_______________a",
        "_______________a.0000000000000007",
        "_______________a.9007199254740992.1@h",
        "______________.a.0000000000000007.1@h",
        "_______________a.000000000000007.1@h",
    ] {
        lock.put_bytes(state(tag, "0"), Some(TTL));
        busy(lock.acquire("a"));
        assert_eq!(lock.abort("a"), Reply::Aborted(false), "{tag}");
    }
}

fn a_publish_keeps_the_tag_of_the_grant(lock: &mut Lock<'_>) {
    let id = lock.grant("a");
    let held = lock.bytes();
    assert_eq!(lock.publish(id, None), Reply::Published);
    lock.assert_expires_in(TTL);
    let computed = lock.bytes();
    let tag = |text: &Bytes| text.split(|byte| *byte == b',').next().map(<[u8]>::to_vec);
    assert_eq!(tag(&held), tag(&computed));
    assert!(computed.ends_with(b",1"));
}

fn a_takeover_needs_the_exact_state(lock: &mut Lock<'_>) {
    let old = lock.grant("a");
    let line = busy(lock.acquire("b")).line;
    let with = |lock: &mut Lock<'_>, stale: Bytes| lock.acquire_with("b", |a| a.stale = Some(stale));
    busy(with(lock, Bytes::new()));
    busy(with(lock, line.slice(1..)));
    busy(with(lock, Bytes::from([line.as_ref(), b" "].concat())));
    assert!(acquired(&with(lock, line.clone())).fence > old.fence);
    // "b" has taken over in the meantime, so the state has changed.
    busy(lock.acquire_with("c", |a| a.stale = Some(line)));
}

fn after_a_takeover_the_old_holder_is_lost(lock: &mut Lock<'_>) {
    let old = lock.grant("a");
    let line = busy(lock.acquire("b")).line;
    let new = acquired(&lock.acquire_with("b", |a| a.stale = Some(line)));
    assert_eq!(lock.renew(old), Reply::Lost);
    assert_eq!(lock.publish(old, None), Reply::Lost);
    assert_eq!(lock.abort("a"), Reply::Aborted(false));
    assert_eq!(lock.publish(new, None), Reply::Published);
    assert_eq!(lock.publish(old, None), Reply::Lost);
}

fn a_malformed_state_is_never_overwritten(lock: &mut Lock<'_>) {
    let texts: [&[u8]; 15] = [
        b"",
        b"garbage",
        b"a,b,c",
        b"a,2001-02-03T04:05:06Z,x",
        b"a,2001-02-03T04:05:06Z,0,",
        b"a,2001-02-03T04:05:06Z,",
        b"a,2001-02-03T04:05:06Z,+1",
        b"a,2001-02-03T04:05:06,0",
        b"a,2001-02-29T04:05:06Z,0",
        b"a,2001-02-03T04:05:06.1234567890Z,0",
        b"a b,2001-02-03T04:05:06Z,0",
        b",2001-02-03T04:05:06Z,0",
        b"a\0,2001-02-03T04:05:06Z,0",
        b"\xff,2001-02-03T04:05:06Z,0",
        &[b'x'; 5000],
    ];
    for text in texts {
        assert_kept(
            lock,
            Foreign::Bytes(Bytes::copy_from_slice(text), None),
            BadState::Malformed,
        );
    }
    let long = format!("{},2001-02-03T04:05:06Z,0", "t".repeat(129));
    assert_kept(lock, Foreign::Bytes(long.into(), Some(TTL)), BadState::Malformed);
}

fn a_state_with_an_unknown_number_is_never_overwritten(lock: &mut Lock<'_>) {
    for number in ["2", "-1", "00", "01", "12345678901234567890"] {
        assert_kept(
            lock,
            Foreign::Bytes(state("a", number).into(), Some(TTL)),
            BadState::Number,
        );
    }
}

fn every_rfc_3339_timestamp_is_accepted(lock: &mut Lock<'_>) {
    for stamp in [
        "2001-02-03T04:05:06Z",
        "2001-02-03 04:05:06.5+00:00",
        "2001-02-03T04:05:06.123456789-23:59",
        "2000-02-29T23:59:59.000001+05:30",
        "0000-01-01T00:00:00Z",
    ] {
        let raw = format!("_______________a.0000000000000007.1@h,{stamp},0");
        lock.put_bytes(raw.clone(), Some(TTL));
        assert_eq!(busy(lock.acquire("b")).line, raw);
        assert_eq!(lock.abort("a"), Reply::Aborted(true), "{stamp}");
    }
}
