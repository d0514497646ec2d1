//! The scheduler's primitives, under the names of the runtime's `rt::sync`.

pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
pub(crate) use shuttle::sync::{Mutex, MutexGuard};
pub(crate) use std::sync::PoisonError;
pub(crate) use tokio::sync::{Notify, Semaphore, SemaphorePermit, oneshot, watch};

pub(crate) use crate::clock::Instant;

/// papaya's map. Each operation is atomic, and the scheduler may switch threads before it.
pub(crate) mod papaya {
    use std::hash::{BuildHasher, Hash};

    pub(crate) use ::papaya::{Compute, Operation};
    use ::papaya::{HashMapRef, LocalGuard};
    use shuttle::thread::yield_now;

    pub(crate) struct HashMap<K, V, S>(::papaya::HashMap<K, V, S>);

    pub(crate) struct Pinned<'a, K, V, S>(HashMapRef<'a, K, V, S, LocalGuard<'a>>);

    impl<K: Hash + Eq, V, S: BuildHasher> HashMap<K, V, S> {
        pub(crate) fn with_hasher(hasher: S) -> Self {
            Self(::papaya::HashMap::with_hasher(hasher))
        }

        pub(crate) fn pin(&self) -> Pinned<'_, K, V, S> {
            Pinned(self.0.pin())
        }
    }

    impl<K: Hash + Eq, V, S: BuildHasher> Pinned<'_, K, V, S> {
        pub(crate) fn get(&self, key: &K) -> Option<&V> {
            yield_now();
            self.0.get(key)
        }

        pub(crate) fn insert(&self, key: K, value: V) -> Option<&V> {
            yield_now();
            self.0.insert(key, value)
        }

        pub(crate) fn remove(&self, key: &K) -> Option<&V> {
            yield_now();
            self.0.remove(key)
        }

        pub(crate) fn remove_if(
            &self,
            key: &K,
            should: impl FnMut(&K, &V) -> bool,
        ) -> Result<Option<(&K, &V)>, (&K, &V)> {
            yield_now();
            self.0.remove_if(key, should)
        }

        pub(crate) fn compute<'g, F, T>(&'g self, key: K, compute: F) -> Compute<'g, K, V, T>
        where
            F: FnMut(Option<(&'g K, &'g V)>) -> Operation<V, T>,
        {
            yield_now();
            self.0.compute(key, compute)
        }

        pub(crate) fn clear(&self) {
            yield_now();
            self.0.clear();
        }
    }
}
