//! Test rigs. A rig runs steps on a store, advances its clock, and reads and writes its entries without the protocol.

mod embedded;
mod memory;
mod pure;
mod redis;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use dspinlock_runtime::internals::key::{Format, Key};
use dspinlock_runtime::internals::protocol::record::Entry;
use dspinlock_runtime::internals::protocol::{Reply, Request};

pub(crate) use self::embedded::Embedded;
pub(crate) use self::memory::Memory;
pub(crate) use self::pure::Pure;
pub(crate) use self::redis::Redis;

pub(crate) trait Rig {
    /// Runs one step. Panics if the store returns an error.
    fn step(&mut self, key: &Key, request: Request) -> Reply;

    /// Writes an entry without the protocol, like a Python worker, a user or a bug.
    fn put(&mut self, key: &Key, content: &Foreign);

    /// The entry of a key with its expiry.
    fn entry(&mut self, key: &Key) -> Entry;

    /// The store's clock, in microseconds since 1970.
    fn now(&mut self) -> u64;

    /// Lets every expiry approach by this time.
    fn advance(&mut self, milliseconds: u64);

    /// Removes all entries.
    fn clear(&mut self) {}

    /// Whether the test controls the clock. Then replies and entries equal those of the pure function exactly.
    fn is_exact(&self) -> bool {
        true
    }

    /// Whether [`Rig::put`] and [`Rig::entry`] are available.
    fn has_raw_access(&self) -> bool {
        true
    }
}

/// Content that was written without the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Foreign {
    Nothing,
    WrongType,
    /// With an optional expiry in milliseconds.
    Bytes(Bytes, Option<u64>),
}

/// A key that no other scenario uses.
pub(crate) fn fresh_key(format: Format) -> Key {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&LAST.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    Key::new(format, "contract".into(), digest)
}

pub(crate) fn machine_clock() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.expect("the clock is after 1970").as_micros() as u64
}

/// Microseconds between two steps if the test controls the clock.
const TICK: u64 = 7;
