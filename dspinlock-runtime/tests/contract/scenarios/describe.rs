//! DESCRIBE: who holds a key, or what it keeps.

use dspinlock_runtime::internals::protocol::Reply;
use dspinlock_runtime::internals::protocol::state::BadState;

use super::lock::*;
use crate::rig::Foreign;

super::list! {
    steps only {
        a_free_key_has_no_description,
        the_holder_of_a_lock_is_described,
        a_result_is_described,
    }
    raw access {
        an_entry_of_another_program_is_bad,
    }
}

const BOUND: usize = 1 << 20;

fn a_free_key_has_no_description(lock: &mut Lock<'_>) {
    assert_eq!(lock.describe(BOUND), Reply::Miss);
    let id = lock.grant("a");
    lock.release(id, false);
    assert_eq!(lock.describe(BOUND), Reply::Miss);
}

fn the_holder_of_a_lock_is_described(lock: &mut Lock<'_>) {
    lock.grant("a");
    let busy = lock.acquire("b");
    let Reply::Busy(described) = lock.describe(BOUND) else {
        panic!("a lock is held")
    };
    let Reply::Busy(busy) = busy else {
        panic!("a lock is held")
    };
    assert_eq!(described.line, busy.line);
    assert!(described.remaining <= busy.remaining && described.remaining > Some(0));
    assert!(described.now >= busy.now);
}

fn a_result_is_described(lock: &mut Lock<'_>) {
    let id = lock.compute("a", Some(b"value"));
    if lock.is_shared() {
        assert!(matches!(lock.describe(BOUND), Reply::Exists(existing) if existing.remaining <= Some(TTL)));
        return;
    }
    let size = lock.size();
    let (value, left) = hit(lock.describe(size));
    assert_eq!((value.payload(), value.id), (b"value".as_slice(), id));
    assert!(left.is_some_and(|left| left > 0 && left <= TTL), "{left:?}");
    let Reply::Exists(existing) = lock.describe(size - 1) else {
        panic!("the value is above the bound")
    };
    assert!(existing.line.starts_with(b"V") && existing.remaining <= Some(TTL));
}

fn an_entry_of_another_program_is_bad(lock: &mut Lock<'_>) {
    lock.put(Foreign::WrongType);
    assert_eq!(lock.describe(BOUND), Reply::Bad(BadState::Malformed));
    for text in ["", "garbage", "X"] {
        lock.put_bytes(text, None);
        assert_eq!(lock.describe(BOUND), Reply::Bad(BadState::Malformed), "{text}");
    }
}
