//! Keys whose entry is not one of this format.

use bytes::Bytes;
use dspinlock_runtime::internals::protocol::Reply;
use dspinlock_runtime::internals::protocol::record::Entry;
use dspinlock_runtime::internals::protocol::state::BadState;

use super::lock::*;
use crate::rig::Foreign;

super::list! {
    steps only {
    }
    raw access {
        an_entry_of_no_format_is_never_overwritten,
        an_entry_of_the_wrong_type_is_never_overwritten,
    }
}

fn an_entry_of_no_format_is_never_overwritten(lock: &mut Lock<'_>) {
    let texts: [&[u8]; 8] = [
        b"",
        b"garbage",
        b"Xtag-of-16-bytes_00000000000000071,h,,,s\n",
        b"Btag+of-16-bytes_00000000000000071,h,,,s\n",
        b"Btag-of-16-bytes_000000000000000x1,h,,,s\n",
        b"Vtag-of-16-bytes_90071992547409921,h,,,s\n",
        b"B",
        &[b'x'; 5000],
    ];
    for text in texts {
        assert_kept(
            lock,
            Foreign::Bytes(Bytes::copy_from_slice(text), None),
            BadState::Malformed,
        );
    }
}

fn an_entry_of_the_wrong_type_is_never_overwritten(lock: &mut Lock<'_>) {
    assert_kept(lock, Foreign::WrongType, BadState::Malformed);
}

/// Asserts that only DELETE changes a key with this entry.
pub(super) fn assert_kept(lock: &mut Lock<'_>, content: Foreign, bad: BadState) {
    let id = lock.grant("a");
    lock.put(content);
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
        assert_eq!(lock.acquire_with("b", |a| a.seize = true), Reply::Bad(bad));
        assert_eq!(lock.renew(id), Reply::Lost);
        assert_eq!(lock.publish(id, Some(b"value")), Reply::Lost);
        assert_eq!(lock.release(id, false), Reply::Lost);
        assert_eq!(lock.abort("a"), Reply::Aborted(false));
        assert_eq!(lock.read(), Reply::Miss);
    });
    assert_eq!(lock.delete(), Reply::Deleted(true));
    assert_eq!(lock.entry(), Entry::Absent);
}
