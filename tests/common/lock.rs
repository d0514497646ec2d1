//! Explicit locks.

use dspinlock::{Acquired, DSpinlockBase, Error, HashDSpinlock, Lease, Pool};
use dspinlock_runtime::internals::key::{KeyHasher, KeyPart};

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

/// The key of an annotated function with one part, by its name in the store.
pub(crate) struct Named(String);

impl Named {
    pub(crate) fn of(site: &str, part: &str) -> Self {
        let mut hasher = KeyHasher::new(false);
        part.feed(&mut hasher);
        let key = hasher.finish("dspinlock".into(), site);
        Self(key.expect("a string is a key").name())
    }
}

impl DSpinlockBase for Named {
    fn key(&self) -> String {
        self.0.clone()
    }
}
