//! Entries that are longer than anybody asked for: judged by their lengths and headers, and never read whole.

use std::fs;
use std::path::Path;

use dspinlock_runtime::internals::protocol::Reply;
use dspinlock_runtime::internals::protocol::state::BadState;
use rusqlite::Connection;

use crate::{acquire, child, grant, key, open, place, publish, read, renew, step};

const LONG: usize = 64 << 20;

/// How much memory the steps may take, in KiB: far less than one copy of an entry.
const MEMORY: usize = 16 << 10;

#[test]
fn what_is_too_long_is_not_read() {
    let (_folder, path) = place();
    let store = open(&path).expect("a store");
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
    // In a process of its own, whose memory is nobody else's.
    let took: usize = child::output(child::command(&format!("long {}", path.display())))
        .parse()
        .expect("a number of KiB");
    assert!(took < MEMORY, "{took} KiB");
}

/// A value and a state that are long, on keys that `a` has published or holds.
fn lengthen(path: &Path) {
    let connection = Connection::open(path).expect("the file");
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

/// A fence that no clock of ours gives.
const FENCE: u64 = 9_000_000_000_000_000;

/// In the child: all kinds of steps, and how much memory they took in KiB.
pub(crate) fn steps(path: &Path) -> usize {
    let store = open(path).expect("a store");
    let before = peak();
    let take = |number, request| step(&store, &key(number), request).expect("a step");
    assert_eq!(take(1, read()), Reply::Miss);
    assert_eq!(take(1, publish("a", FENCE, b"again")), Reply::Done);
    // The fence of a value that is too long counts all the same.
    assert_eq!(take(1, acquire("b")), Reply::Acquired(FENCE + 1));
    assert_eq!(take(1, publish("b", FENCE + 1, b"short")), Reply::Published);
    assert!(matches!(take(1, read()), Reply::Hit(..)));

    assert!(matches!(take(2, acquire("b")), Reply::Busy(_)));
    assert_eq!(take(3, acquire("b")), Reply::Bad(BadState::Malformed));
    assert_eq!(take(3, renew("a", FENCE)), Reply::Lost);
    let took = peak() - before;

    // Nobody but a forger leaves a long value to a holder: SQLite writes its row anew. It is left as it is.
    assert_eq!(take(2, renew("a", FENCE)), Reply::Renewed);
    assert_eq!(take(2, acquire("a")), Reply::Acquired(FENCE));
    assert_eq!(take(2, publish("a", FENCE, b"short")), Reply::Published);
    assert!(matches!(take(2, read()), Reply::Hit(..)));
    took
}

/// The most memory that this process ever had, in KiB.
fn peak() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("a process of Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).expect("a number")
}
