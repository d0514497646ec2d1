//! Keys whose state is malformed.

use bytes::Bytes;
use dspinlock_runtime::internals::protocol::Reply;
use dspinlock_runtime::internals::protocol::record::{Record, Slot};
use dspinlock_runtime::internals::protocol::state::BadState;

use super::lock::*;
use crate::rig::{Entry, Foreign};

super::list! {
    steps only {
    }
    raw access {
        a_malformed_state_is_never_overwritten,
        a_state_with_an_unknown_number_is_never_overwritten,
        a_state_of_the_wrong_type_is_never_overwritten,
        delete_removes_both_entries,
        every_rfc_3339_timestamp_is_accepted,
    }
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
    let long = format!("{},2001-02-03T04:05:06Z,0", "t".repeat(65));
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

fn a_state_of_the_wrong_type_is_never_overwritten(lock: &mut Lock<'_>) {
    assert_kept(lock, Foreign::WrongType, BadState::Malformed);
}

/// Asserts that only DELETE changes a key with this state.
fn assert_kept(lock: &mut Lock<'_>, content: Foreign, bad: BadState) {
    let fence = lock.grant("a");
    lock.put(Entry::State, content);
    lock.assert_unchanged(|lock| {
        assert_eq!(lock.acquire("a"), Reply::Bad(bad));
        assert_eq!(lock.acquire("b"), Reply::Bad(bad));
        assert_eq!(
            lock.acquire_with("b", |a| a.fail_if_key_exists = true),
            Reply::Bad(bad)
        );
        assert_eq!(
            lock.acquire_with("b", |a| a.stale = Some(Bytes::new())),
            Reply::Bad(bad)
        );
        assert_eq!(lock.renew("a", fence), Reply::Lost);
        assert_eq!(lock.publish("a", fence, Some(b"value")), Reply::Lost);
        assert_eq!(lock.abort("a"), Reply::Aborted(false));
        assert_eq!(lock.read(true), Reply::Miss);
    });
    assert_eq!(lock.delete(), Reply::Deleted(true));
    assert_eq!(lock.record(), Record::default());
}

fn delete_removes_both_entries(lock: &mut Lock<'_>) {
    assert_eq!(lock.delete(), Reply::Deleted(false));
    let states = [
        (Foreign::Nothing, false),
        (Foreign::WrongType, true),
        (Foreign::Bytes("garbage".into(), None), true),
        (Foreign::Bytes(state("a", "0").into(), Some(TTL)), true),
    ];
    let values = [
        Foreign::Nothing,
        Foreign::WrongType,
        Foreign::Bytes("garbage".into(), None),
    ];
    for (state, existed) in states {
        for value in values.clone() {
            lock.put(Entry::State, state.clone());
            lock.put(Entry::Value, value);
            assert_eq!(lock.delete(), Reply::Deleted(existed), "{state:?}");
            let record = lock.record();
            assert_eq!((record.state, record.value), (Slot::Absent, Slot::Absent));
        }
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
        let raw = format!("a,{stamp},0");
        lock.put_state(raw.clone(), Some(TTL));
        assert_eq!(busy(lock.acquire("b")).raw, raw);
        assert_eq!(lock.abort("a"), Reply::Aborted(true), "{stamp}");
    }
}
