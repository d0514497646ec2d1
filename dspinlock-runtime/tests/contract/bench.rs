//! What a store is put on to be tested: steps, a clock that can be turned on, and writes past the protocol.

mod embedded;
mod pure;
mod redis;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use dspinlock_runtime::internals::key::Key;
use dspinlock_runtime::internals::protocol::record::Record;
use dspinlock_runtime::internals::protocol::{Reply, Request};

pub(crate) use self::embedded::Embedded;
pub(crate) use self::pure::Pure;
pub(crate) use self::redis::Redis;

pub(crate) trait Bench {
    /// Takes one step; fails the test where the store does not answer.
    fn step(&mut self, key: &Key, request: Request) -> Reply;

    /// Writes past the protocol, as a Python worker, a person or a defect would.
    fn put(&mut self, key: &Key, entry: Entry, content: &Foreign);

    /// Both entries, expiry included.
    fn record(&mut self, key: &Key) -> Record;

    /// The store's clock, in microseconds since 1970.
    fn now(&mut self) -> u64;

    /// Lets so many milliseconds pass, as far as expiry goes.
    fn advance(&mut self, milliseconds: u64);

    /// Forgets everything.
    fn clear(&mut self) {}

    /// Whether the clock is the test's: replies and records are then those of the pure function to the microsecond.
    fn is_exact(&self) -> bool {
        true
    }

    /// Whether [`Bench::put`] and [`Bench::record`] can be used.
    fn is_open(&self) -> bool {
        true
    }
}

/// Which of a key's two entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    State,
    Value,
}

/// What somebody else wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Foreign {
    Nothing,
    WrongType,
    /// With so many milliseconds to live, or for ever.
    Bytes(Bytes, Option<u64>),
}

/// A key that no other test uses.
pub(crate) fn fresh_key() -> Key {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&LAST.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    Key::new("contract".into(), digest)
}

pub(crate) fn machine_clock() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.expect("a clock after 1970").as_micros() as u64
}

/// So much passes from one step to the next where the clock is the test's.
const TICK: u64 = 7;
