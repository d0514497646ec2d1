//! A part of a key whose order does not depend on a hash function. Users call it in `key = ...`.

/// The items in ascending order, for a part of a key. A `HashSet` iterates in another order in every process.
///
/// ```
/// # use dspinlock_runtime as dspinlock;
/// use std::collections::HashSet;
///
/// use dspinlock::HashDSpinlock;
///
/// let tags = HashSet::from(["b", "a", "c"]);
/// let lock = HashDSpinlock::new(dspinlock::sorted(&tags));
/// assert_eq!(lock.key()?, HashDSpinlock::new(["a", "b", "c"]).key()?);
/// # Ok::<(), dspinlock::Error>(())
/// ```
pub fn sorted<T: Ord>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.into_iter().collect();
    items.sort_unstable();
    items
}
