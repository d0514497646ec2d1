//! The near cache: decoded values in this process, each until its store pushes an invalidation.
//!
//! A call reserves the slot of its key before it sends the read, and fills the slot only if the reservation still exists
//! when the reply arrives. An invalidation removes the slot, filled or reserved, so an invalidation that overtakes a reply
//! is never missed. `request` reserves and forgets, `call` reads and fills, and the store's pushes arrive by [`Listener`].
//! A hit takes no lock and allocates nothing.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;

use crate::key::Key;
use crate::rt::sync::papaya::{self, Compute, Operation};
use crate::rt::sync::{AtomicBool, AtomicU64, Instant, Mutex, MutexGuard, Ordering, PoisonError};
use crate::store::Listener;

/// A value of any type. The call that reads it knows the type.
pub(crate) type AnyValue = Arc<dyn Any + Send + Sync>;

/// The default of `PoolBuilder::near_cache_size`.
pub(super) const DEFAULT_SIZE: usize = 10_000;

/// How many recently used entries one eviction keeps.
const SECOND_CHANCES: usize = 8;

/// The near cache of one pool.
pub(crate) struct NearCache {
    slots: papaya::HashMap<Key, Slot, RandomState>,
    /// The next token. Tokens only grow.
    next_token: AtomicU64,
    /// Slots with a smaller token are invalid: they were reserved before all values were invalidated.
    min_token: AtomicU64,
    /// The greatest number of entries.
    size: usize,
    /// The keys of the filled slots by their tokens, oldest first: exactly the entries of `slots`. A slot is filled, and loses its
    /// entry to an eviction, only while this is locked. A hit never locks it.
    filled: Mutex<BTreeMap<u64, Key>>,
}

struct Slot {
    token: u64,
    /// The slot had a hit since the last eviction checked it.
    used: AtomicBool,
    /// `None` while the slot is reserved.
    entry: Option<Entry>,
}

#[derive(Clone)]
struct Entry {
    value: AnyValue,
    /// Just before the read was sent.
    read_at: Instant,
    /// When the value expires in the store.
    expires_at: Option<Instant>,
    written: Written,
}

/// What the store says of a value.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Written {
    /// The fence under which it was published.
    pub fence: Option<u64>,
    /// The time since it was published, when it was read.
    pub age: Option<Duration>,
}

/// An entry that serves a call.
pub(crate) struct Near<'a> {
    entry: &'a Entry,
    /// The time since the entry was read.
    since: Duration,
}

impl Near<'_> {
    pub(crate) fn value(&self) -> &(dyn Any + Send + Sync) {
        &*self.entry.value
    }

    /// What the store says of the value now.
    pub(crate) fn written(&self) -> Written {
        Written {
            age: self.entry.written.age.map(|age| age + self.since),
            ..self.entry.written
        }
    }
}

/// A reserved slot. Dropping it removes the reservation.
pub(crate) struct Placeholder {
    cache: Arc<NearCache>,
    key: Key,
    token: u64,
    read_at: Instant,
    /// The time from the read to the value's expiry.
    pub(crate) remaining: Option<Duration>,
    pub(crate) written: Written,
}

impl NearCache {
    pub(crate) fn new(size: usize) -> Self {
        Self {
            slots: papaya::HashMap::with_hasher(RandomState::default()),
            next_token: AtomicU64::new(0),
            min_token: AtomicU64::new(0),
            size,
            filled: Mutex::default(),
        }
    }

    /// What `copy` makes of the entry, unless it is older than `age` at `now`.
    #[inline]
    pub(crate) fn get<R>(
        &self,
        key: &Key,
        now: Instant,
        age: Duration,
        copy: impl FnOnce(Near<'_>) -> Option<R>,
    ) -> Option<R> {
        let slots = self.slots.pin();
        let slot = slots.get(key)?;
        let entry = slot.entry.as_ref()?;
        let is_live = entry.expires_at.is_none_or(|expires_at| now < expires_at);
        let since = now.saturating_duration_since(entry.read_at);
        if !is_live || since >= age || slot.token < self.min_token.load(Ordering::Acquire) {
            return None;
        }
        // Checked first, because a write by every reader would make them contend for the cache line.
        if !slot.used.load(Ordering::Relaxed) {
            slot.used.store(true, Ordering::Relaxed);
        }
        copy(Near { entry, since })
    }

    /// Reserves the slot of `key` at `now`, before the read is sent. `None` if the cache is off.
    pub(crate) fn reserve(self: &Arc<Self>, key: &Key, now: Instant) -> Option<Placeholder> {
        if self.size == 0 {
            return None;
        }
        let token = self.new_token();
        self.removed(self.slots.pin().insert(key.clone(), Slot::new(token, None)));
        Some(Placeholder {
            cache: self.clone(),
            key: key.clone(),
            token,
            read_at: now,
            remaining: None,
            written: Written::default(),
        })
    }

    /// Removes the slot of `key`, so that reads that are under way do not fill it.
    pub(crate) fn forget(&self, key: &Key) {
        if self.is_unused() {
            return;
        }
        match key.custom_text().map(Key::from_name) {
            None => self.remove(key),
            Some(Some(key)) => self.remove(&key),
            Some(None) => {}
        }
    }

    fn remove(&self, key: &Key) {
        self.removed(self.slots.pin().remove(key));
    }

    /// Forgets the place of a slot that is no longer in the map.
    fn removed(&self, slot: Option<&Slot>) {
        if let Some(Slot {
            token,
            entry: Some(_),
            ..
        }) = slot
        {
            self.filled().remove(token);
        }
    }

    fn new_token(&self) -> u64 {
        self.next_token.fetch_add(1, Ordering::SeqCst)
    }

    /// Whether no slot was ever reserved. Most processes use no near cache, so they need not parse pushes.
    fn is_unused(&self) -> bool {
        self.next_token.load(Ordering::SeqCst) == 0
    }

    fn filled(&self) -> MutexGuard<'_, BTreeMap<u64, Key>> {
        self.filled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Evicts the oldest entries beyond the size. A recently used entry gets a second chance, but not all of them do.
    fn evict(&self, filled: &mut BTreeMap<u64, Key>) {
        let slots = self.slots.pin();
        let mut chances = SECOND_CHANCES;
        while filled.len() > self.size {
            let Some((token, key)) = filled.pop_first() else {
                return;
            };
            let newer = (chances > 0).then(|| self.new_token());
            let evicted = slots.compute(key.clone(), |slot| match (slot, newer) {
                (Some((_, slot)), Some(newer)) if slot.token == token && slot.is_used() => {
                    Operation::Insert(Slot::new(newer, slot.entry.clone()))
                }
                (Some((_, slot)), _) if slot.token == token => Operation::Remove,
                _ => Operation::Abort(()),
            });
            if let (Compute::Updated { .. }, Some(newer)) = (evicted, newer) {
                chances -= 1;
                filled.insert(newer, key);
            }
        }
    }
}

impl Slot {
    fn new(token: u64, entry: Option<Entry>) -> Self {
        Self {
            token,
            used: AtomicBool::new(false),
            entry,
        }
    }

    fn is_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }
}

impl Listener for NearCache {
    fn changed(&self, name: &[u8]) {
        if self.is_unused() {
            return;
        }
        if let Some(key) = std::str::from_utf8(name).ok().and_then(Key::from_name) {
            self.remove(&key);
        }
    }

    fn all_changed(&self) {
        if self.is_unused() {
            return;
        }
        let mut filled = self.filled();
        self.min_token
            .fetch_max(self.next_token.load(Ordering::SeqCst), Ordering::SeqCst);
        self.slots.pin().clear();
        filled.clear();
    }
}

impl Placeholder {
    /// Fills the slot with the value that was read, unless the slot was removed since.
    pub(crate) fn fill(self, value: AnyValue) {
        let entry = Entry {
            value,
            read_at: self.read_at,
            expires_at: self
                .remaining
                .and_then(|remaining| self.read_at.checked_add(remaining)),
            written: self.written,
        };
        let token = self.token;
        let mut filled = self.cache.filled();
        if token < self.cache.min_token.load(Ordering::SeqCst) {
            return;
        }
        let slots = self.cache.slots.pin();
        let updated = slots.compute(self.key.clone(), |slot| match slot {
            Some((_, slot)) if slot.token == token => {
                Operation::Insert(Slot::new(token, Some(entry.clone())))
            }
            _ => Operation::Abort(()),
        });
        if let Compute::Updated { .. } = updated {
            filled.insert(token, self.key.clone());
            self.cache.evict(&mut filled);
        }
    }
}

impl Drop for Placeholder {
    fn drop(&mut self) {
        let is_reserved = |_: &Key, slot: &Slot| slot.token == self.token && slot.entry.is_none();
        let _ = self.cache.slots.pin().remove_if(&self.key, is_reserved);
    }
}

impl fmt::Debug for Placeholder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Placeholder")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// `tests/races` tests concurrent threads.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Format;

    const AGE: Duration = Duration::from_secs(60);

    fn key(number: u8) -> Key {
        Key::new(Format::Single, "near".into(), [number; 32])
    }

    fn cache(size: usize) -> Arc<NearCache> {
        Arc::new(NearCache::new(size))
    }

    fn get_at(cache: &NearCache, number: u8, age: Duration) -> Option<u8> {
        cache.get(&key(number), Instant::now(), age, |near| {
            near.value().downcast_ref().copied()
        })
    }

    fn get(cache: &NearCache, number: u8) -> Option<u8> {
        get_at(cache, number, AGE)
    }

    fn reserve(cache: &Arc<NearCache>, number: u8) -> Placeholder {
        cache
            .reserve(&key(number), Instant::now())
            .expect("the cache is on")
    }

    /// The value of each key is its number.
    fn fill(cache: &Arc<NearCache>, numbers: impl IntoIterator<Item = u8>) {
        for number in numbers {
            reserve(cache, number).fill(Arc::new(number));
        }
    }

    fn found(cache: &NearCache, among: impl IntoIterator<Item = u8>) -> Vec<u8> {
        among
            .into_iter()
            .filter_map(|number| get(cache, number))
            .collect()
    }

    #[test]
    fn a_value_is_valid_until_its_age_and_its_expiry() {
        let cache = cache(10);
        fill(&cache, [1]);
        assert_eq!(get(&cache, 1), Some(1));
        assert_eq!(get_at(&cache, 1, Duration::ZERO), None);
        for (remaining, found) in [(AGE, Some(1)), (Duration::ZERO, None)] {
            let mut placeholder = reserve(&cache, 1);
            placeholder.remaining = Some(remaining);
            placeholder.fill(Arc::new(1_u8));
            assert_eq!(get(&cache, 1), found);
        }
    }

    #[test]
    fn every_kind_of_invalidation_removes_the_slot() {
        let custom = Key::custom(&key(1).name()).expect("the name of a digest");
        let changes: [&dyn Fn(&NearCache); 4] = [
            &|cache| cache.changed(key(1).name().as_bytes()),
            &|cache| cache.forget(&key(1)),
            &|cache| cache.forget(&custom),
            &|cache| cache.all_changed(),
        ];
        for change in changes {
            let cache = cache(10);
            fill(&cache, [1]);
            change(&cache);
            assert_eq!(get(&cache, 1), None, "a filled slot");
            let overtaken = reserve(&cache, 1);
            change(&cache);
            overtaken.fill(Arc::new(1_u8));
            assert_eq!(get(&cache, 1), None, "a reserved slot");
            fill(&cache, [1]);
            assert_eq!(get(&cache, 1), Some(1), "a value that was read after the change");
        }
    }

    /// `all_changed` may run after a reader took its token and before it inserted its slot. Then it finds no slot to remove.
    #[test]
    fn a_slot_reserved_across_a_lost_connection_is_void() {
        let cache = cache(10);
        let placeholder = reserve(&cache, 1);
        cache.all_changed();
        cache
            .slots
            .pin()
            .insert(key(1), Slot::new(placeholder.token, None));
        placeholder.fill(Arc::new(1_u8));
        assert_eq!(get(&cache, 1), None);
        assert!(cache.filled().is_empty(), "a second chance would make it valid");
    }

    #[test]
    fn the_last_reservation_fills_the_slot() {
        let cache = cache(10);
        let (first, second) = (reserve(&cache, 1), reserve(&cache, 1));
        first.fill(Arc::new(1_u8));
        assert_eq!(get(&cache, 1), None);
        second.fill(Arc::new(2_u8));
        assert_eq!(get(&cache, 1), Some(2));
        drop(reserve(&cache, 1));
        let is_reserved = cache.slots.pin().get(&key(1)).is_some();
        assert!(!is_reserved, "a dropped placeholder left its reservation");
    }

    #[test]
    fn the_oldest_entry_is_evicted_first() {
        let cache = cache(2);
        fill(&cache, [1, 2]);
        // Not by `found`, which marks entries as used.
        let filled: Vec<Key> = cache.filled().values().cloned().collect();
        assert_eq!(filled, [key(1), key(2)]);
        fill(&cache, [3]);
        assert_eq!(found(&cache, 1..=3), [2, 3]);
    }

    #[test]
    fn a_cache_of_size_zero_is_off() {
        assert!(cache(0).reserve(&key(1), Instant::now()).is_none());
    }

    #[test]
    fn a_used_entry_gets_a_second_chance_but_not_all_of_them_do() {
        let two = cache(2);
        fill(&two, [1, 2]);
        assert_eq!(get(&two, 1), Some(1));
        fill(&two, [3]);
        assert_eq!(found(&two, 1..=3), [1, 3]);
        let ten = cache(10);
        fill(&ten, 1..=10);
        assert_eq!(found(&ten, 1..=10).len(), 10);
        fill(&ten, [11]);
        let chances = SECOND_CHANCES as u8;
        assert_eq!(get(&ten, chances + 1), None);
        assert_eq!(found(&ten, 1..=11).len(), 10);
    }

    #[test]
    fn a_refilled_key_is_not_evicted_with_its_former_value() {
        let cache = cache(2);
        fill(&cache, [1]);
        cache.forget(&key(1));
        fill(&cache, [1, 2]);
        assert_eq!(found(&cache, [1, 2]), [1, 2]);
    }

    /// Each kind of removal, and a new reservation, which replaces the value.
    #[test]
    fn a_key_that_is_often_invalidated_does_not_evict_others() {
        let custom = Key::custom(&key(3).name()).expect("the name of a digest");
        type Change<'a> = &'a dyn Fn(&Arc<NearCache>);
        let changes: [Change<'_>; 4] = [
            &|cache| cache.changed(key(3).name().as_bytes()),
            &|cache| cache.forget(&key(3)),
            &|cache| cache.forget(&custom),
            &|cache| drop(reserve(cache, 3)),
        ];
        for change in changes {
            let cache = cache(3);
            fill(&cache, [1, 2]);
            for _ in 0..100 {
                fill(&cache, [3]);
                change(&cache);
            }
            assert_eq!(cache.filled().len(), 2);
            assert_eq!(found(&cache, 1..=3), [1, 2]);
        }
    }
}
