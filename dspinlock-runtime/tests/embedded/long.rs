//! Entries above the bound of a request. The store judges them by their length and header and never reads them whole.

use std::fs;
use std::path::Path;

use dspinlock_runtime::internals::protocol::Reply;
use dspinlock_runtime::internals::protocol::state::BadState;
use dspinlock_runtime::internals::protocol::tag::Id;
use rusqlite::Connection;

use crate::{acquire, child, grant, key, open, publish, read, renew, step, tag, temporary_path};

const LONG: usize = 64 << 20;

/// Memory that the steps may use, in KiB. Much less than one copy of an entry.
const MAX_MEMORY: usize = 16 << 10;

#[test]
fn an_entry_above_the_bound_is_not_read_into_memory() {
    let (_folder, path) = temporary_path();
    let store = open(&path).expect("the store opens");
    for number in 1..=3 {
        let fence = grant(&store, &key(number), "a");
        if number == 1 {
            assert_eq!(
                step(&store, &key(1), publish(fence, b"short")),
                Ok(Reply::Published)
            );
        }
    }
    lengthen(&path);
    // A separate process, because the peak memory of this one depends on the other tests.
    let used: usize = child::output(child::command(&format!("long {}", path.display())))
        .parse()
        .expect("the child prints a number");
    assert!(used < MAX_MEMORY, "the steps used {used} KiB");
}

/// Replaces the entries of keys 1 to 3 by long ones: a value, a held lock and no entry of this format.
fn lengthen(path: &Path) {
    let connection = Connection::open(path).expect("the file opens");
    for (number, head) in [
        (1, format!("V{}1,host,", old("a"))),
        (2, format!("B{}1,host,", old("a"))),
        (3, "x".into()),
    ] {
        let mut entry = head.into_bytes();
        entry.resize(entry.len() + LONG, b'x');
        let set = "UPDATE lock_a SET entry = ?2 WHERE key = ?1";
        assert_eq!(connection.execute(set, (key(number).name(), &entry)), Ok(1));
    }
}

/// A grant with a fence that no other one has.
fn old(name: &str) -> Id {
    Id {
        tag: tag(name),
        fence: 9_000_000_000_000_000,
    }
}

/// Runs in the child: takes steps of every kind and returns the memory that they used, in KiB.
pub(crate) fn steps(path: &Path) -> usize {
    let store = open(path).expect("the store opens");
    let before = peak();
    let take = |number, request| step(&store, &key(number), request).expect("the step succeeds");
    assert_eq!(take(1, read()), Reply::TooLong);
    assert_eq!(take(1, publish(old("a"), b"again")), Reply::Done);
    // The fence of a value above the bound is respected.
    let mut next = old("b");
    next.fence += 1;
    assert_eq!(take(1, acquire("b")), Reply::Acquired(next));
    assert_eq!(take(1, publish(next, b"short")), Reply::Published);
    assert!(matches!(take(1, read()), Reply::Hit(..)));

    assert!(matches!(take(2, acquire("b")), Reply::Busy(_)));
    assert_eq!(take(3, acquire("b")), Reply::Bad(BadState::Malformed));
    assert_eq!(take(3, renew(old("a"))), Reply::Lost);
    let used = peak() - before;

    // These steps rewrite the row and so use more memory, which is accepted: only a forged entry of a held key is long.
    assert_eq!(take(2, renew(old("a"))), Reply::Renewed);
    assert_eq!(take(2, acquire("a")), Reply::Acquired(old("a")));
    assert_eq!(take(2, publish(old("a"), b"short")), Reply::Published);
    assert!(matches!(take(2, read()), Reply::Hit(..)));
    used
}

/// Peak memory of this process, in KiB.
fn peak() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("Linux has /proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number
        .and_then(|number| number.parse().ok())
        .expect("VmHWM is a number")
}
