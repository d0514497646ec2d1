//! Explicit locks.

use dspinlock::{Acquired, Error, HashDSpinlock, Lease, Pool};

/// The lock on the key `example`.
pub(crate) fn lock(pool: &Pool) -> HashDSpinlock {
    HashDSpinlock::new("example").pool(pool)
}

/// The lease of an acquire that must have succeeded.
#[track_caller]
pub(crate) fn locked(acquired: Result<Acquired, Error>) -> Lease {
    match acquired.unwrap() {
        Acquired::Locked(lease) => lease,
        Acquired::Computed => panic!("the key is already computed"),
    }
}
