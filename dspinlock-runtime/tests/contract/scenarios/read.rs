//! READ of a key that keeps a value.

use dspinlock_runtime::internals::protocol::Reply;

use super::lock::*;
use crate::rig::Foreign;

super::list! {
    steps only {
        reading_a_key_without_a_value_is_a_miss,
        a_computed_value_is_read,
        a_value_above_the_bound_is_not_returned,
    }
    raw access {
        an_entry_that_is_no_value_is_a_miss,
    }
}

fn reading_a_key_without_a_value_is_a_miss(lock: &mut Lock<'_>) {
    assert_eq!(lock.read(), Reply::Miss);
    lock.grant("a");
    assert_eq!(lock.read(), Reply::Miss);
}

fn a_computed_value_is_read(lock: &mut Lock<'_>) {
    let id = lock.compute("a", Some(b"value"));
    let (value, left) = hit(lock.read());
    assert_eq!((value.payload(), value.id), (b"value".as_slice(), id));
    assert_eq!(left, None, "READ does not return the expiry");
}

fn a_value_above_the_bound_is_not_returned(lock: &mut Lock<'_>) {
    lock.compute("a", Some(b"value"));
    let size = lock.size();
    hit(lock.read_within(size));
    // With the head alone, the reply still tells a value from a held lock.
    for bound in [size - 1, 33] {
        assert_eq!(lock.read_within(bound), Reply::TooLong);
    }
}

fn an_entry_that_is_no_value_is_a_miss(lock: &mut Lock<'_>) {
    lock.put(Foreign::WrongType);
    assert_eq!(lock.read(), Reply::Miss);
    for text in ["", "garbage", "V", "Xtag-of-16-bytes_00000000000000071,h,,,s\n"] {
        lock.put_bytes(text, None);
        assert_eq!(lock.read(), Reply::Miss, "{text}");
    }
}
