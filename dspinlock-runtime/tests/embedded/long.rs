//! Entries above the bound of a request. The store judges them by their length and header and never reads them whole.

use std::fs;
use std::path::Path;

use dspinlock_runtime::internals::protocol::Reply;
use dspinlock_runtime::internals::protocol::state::BadState;
use rusqlite::Connection;

use crate::{acquire, child, grant, key, open, publish, read, renew, step, temporary_path};

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
                step(&store, &key(1), publish("a", fence, b"short")),
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

/// Replaces the values of keys 1 and 2 and the state of key 3 by long ones.
fn lengthen(path: &Path) {
    let connection = Connection::open(path).expect("the file opens");
    let mut value = format!("dspinlock1,a,{FENCE},a,{FENCE},1,2,3,{LONG},0,4,host,site\n").into_bytes();
    value.resize(value.len() + LONG, 0);
    let long = "x".repeat(LONG);
    for number in 1..=2 {
        let set = "UPDATE lock SET value = ?2 WHERE key = ?1";
        let changed = connection.execute(set, (key(number).state_name(), &value));
        assert_eq!(changed, Ok(1));
    }
    let set = "UPDATE lock SET state = ?2 WHERE key = ?1";
    assert_eq!(connection.execute(set, (key(3).state_name(), long)), Ok(1));
}

/// A fence that no grant has.
const FENCE: u64 = 9_000_000_000_000_000;

/// Runs in the child: takes steps of every kind and returns the memory that they used, in KiB.
pub(crate) fn steps(path: &Path) -> usize {
    let store = open(path).expect("the store opens");
    let before = peak();
    let take = |number, request| step(&store, &key(number), request).expect("the step succeeds");
    assert_eq!(take(1, read()), Reply::TooLong);
    assert_eq!(take(1, publish("a", FENCE, b"again")), Reply::Done);
    // The fence of a value above the bound is respected.
    assert_eq!(take(1, acquire("b")), Reply::Acquired(FENCE + 1));
    assert_eq!(take(1, publish("b", FENCE + 1, b"short")), Reply::Published);
    assert!(matches!(take(1, read()), Reply::Hit(..)));

    assert!(matches!(take(2, acquire("b")), Reply::Busy(_)));
    assert_eq!(take(3, acquire("b")), Reply::Bad(BadState::Malformed));
    assert_eq!(take(3, renew("a", FENCE)), Reply::Lost);
    let used = peak() - before;

    // These steps rewrite the row and so use more memory, which is accepted: only a forged value of a held key is long.
    assert_eq!(take(2, renew("a", FENCE)), Reply::Renewed);
    assert_eq!(take(2, acquire("a")), Reply::Acquired(FENCE));
    assert_eq!(take(2, publish("a", FENCE, b"short")), Reply::Published);
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
