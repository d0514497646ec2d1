//! The near cache: decoded values in this process, for as long as the store is known not to have changed them.
//!
//! A slot is taken before the read is sent, and filled only where it is still taken when the answer is there: an
//! invalidation empties it, whether it is filled or only taken, so that what overtook a read is never forgotten.
//! Readers take no lock.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;

use crate::key::Key;
use crate::rt::sync::papaya::{self, Compute, Operation};
use crate::rt::sync::{
    AtomicBool, AtomicU64, AtomicUsize, Instant, Mutex, MutexGuard, Ordering, PoisonError,
};
use crate::store::Listener;

/// A value of a type that only the call knows.
pub(crate) type Memory = Arc<dyn Any + Send + Sync>;

/// The default of `Pool::with_near_cache_size`.
const SIZE: usize = 10_000;

/// How many entries that were of use lately are passed over in the search for one to give up.
const CHANCES: usize = 8;

/// The near cache of one pool.
pub(crate) struct Near {
    slots: papaya::HashMap<Key, Slot, RandomState>,
    /// The next token; tokens only grow.
    next: AtomicU64,
    /// Tokens below it are void: what they stand for was taken before everything was forgotten.
    floor: AtomicU64,
    size: AtomicUsize,
    /// The filled slots in the order of their filling, and some that are empty again. Readers never lock it.
    filled: Mutex<VecDeque<(Key, u64)>>,
}

struct Slot {
    token: u64,
    /// A reader found it since `trim` last looked.
    used: AtomicBool,
    entry: Option<Entry>,
}

#[derive(Clone)]
struct Entry {
    memory: Memory,
    /// Before the read was sent.
    read: Instant,
    /// The value's own end.
    until: Option<Instant>,
}

/// A slot that was taken. Dropping it lets go of the slot.
pub(crate) struct Fill {
    near: Arc<Near>,
    key: Key,
    token: u64,
    read: Instant,
    /// How long the value has to live since the read.
    pub(crate) left: Option<Duration>,
}

impl Near {
    /// The value, where it is no older than `age`: `recall` copies it.
    pub(crate) fn recall<R>(
        &self,
        key: &Key,
        age: Duration,
        recall: fn(&(dyn Any + Send + Sync)) -> Option<R>,
    ) -> Option<R> {
        let slots = self.slots.pin();
        let slot = slots.get(key)?;
        let entry = slot.entry.as_ref()?;
        let now = Instant::now();
        let lives = entry.until.is_none_or(|until| now < until);
        if !lives || now - entry.read >= age || slot.token < self.floor.load(Ordering::Acquire) {
            return None;
        }
        // Written once only: readers of one entry must not take its memory from each other.
        if !slot.used.load(Ordering::Relaxed) {
            slot.used.store(true, Ordering::Relaxed);
        }
        recall(&*entry.memory)
    }

    /// Takes the slot of `key`: the read may be sent. `None` where nothing is kept.
    pub(crate) fn begin(self: &Arc<Self>, key: &Key) -> Option<Fill> {
        if self.size.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let token = self.next.fetch_add(1, Ordering::SeqCst);
        self.slots.pin().insert(key.clone(), Slot::new(token, None));
        Some(Fill {
            near: self.clone(),
            key: key.clone(),
            token,
            read: Instant::now(),
            left: None,
        })
    }

    /// What was kept of `key`, and what is on its way, is of no use any more.
    pub(crate) fn forget(&self, key: &Key) {
        if self.is_unused() {
            return;
        }
        match key.custom_text().map(Key::from_name) {
            None => drop(self.slots.pin().remove(key)),
            Some(Some(key)) => drop(self.slots.pin().remove(&key)),
            Some(None) => {}
        }
    }

    pub(crate) fn resize(&self, size: usize) {
        self.size.store(size, Ordering::Relaxed);
    }

    /// Most processes have no near cache: their pushes need not be read.
    fn is_unused(&self) -> bool {
        self.next.load(Ordering::SeqCst) == 0
    }

    fn filled(&self) -> MutexGuard<'_, VecDeque<(Key, u64)>> {
        self.filled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives up the oldest entries beyond the size; those that were of use since they were last looked at get another
    /// turn, but not all of them.
    fn trim(&self, filled: &mut VecDeque<(Key, u64)>) {
        let slots = self.slots.pin();
        let size = self.size.load(Ordering::Relaxed);
        let mut chances = CHANCES;
        while filled.len() > size {
            let Some((key, token)) = filled.pop_front() else {
                return;
            };
            let used = slots.get(&key).is_some_and(|slot| slot.is_used(token));
            if used && chances > 0 {
                chances -= 1;
                filled.push_back((key, token));
            } else {
                let _ = slots.remove_if(&key, |_, slot| slot.token == token);
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

    /// Whether it was of use since this was last asked.
    fn is_used(&self, token: u64) -> bool {
        self.token == token && self.used.swap(false, Ordering::Relaxed)
    }
}

impl Default for Near {
    fn default() -> Self {
        Self {
            slots: papaya::HashMap::with_hasher(RandomState::default()),
            next: AtomicU64::new(0),
            floor: AtomicU64::new(0),
            size: AtomicUsize::new(SIZE),
            filled: Mutex::default(),
        }
    }
}

impl Listener for Near {
    fn changed(&self, name: &[u8]) {
        if self.is_unused() {
            return;
        }
        if let Some(key) = std::str::from_utf8(name).ok().and_then(Key::from_name) {
            self.slots.pin().remove(&key);
        }
    }

    fn all_changed(&self) {
        if self.is_unused() {
            return;
        }
        let mut filled = self.filled();
        self.floor
            .fetch_max(self.next.load(Ordering::SeqCst), Ordering::SeqCst);
        self.slots.pin().clear();
        filled.clear();
    }
}

impl Fill {
    /// Keeps the value that was read, unless it has changed meanwhile.
    pub(crate) fn land(self, memory: Memory) {
        let entry = Entry {
            memory,
            read: self.read,
            until: self.left.and_then(|left| self.read.checked_add(left)),
        };
        let token = self.token;
        let mut filled = self.near.filled();
        let slots = self.near.slots.pin();
        let landed = slots.compute(self.key.clone(), |slot| match slot {
            Some((_, slot)) if slot.token == token => {
                Operation::Insert(Slot::new(token, Some(entry.clone())))
            }
            _ => Operation::Abort(()),
        });
        if let Compute::Updated { .. } = landed {
            filled.push_back((self.key.clone(), token));
            self.near.trim(&mut filled);
        }
    }
}

impl Drop for Fill {
    fn drop(&mut self) {
        let is_taken = |_: &Key, slot: &Slot| slot.token == self.token && slot.entry.is_none();
        let _ = self.near.slots.pin().remove_if(&self.key, is_taken);
    }
}

impl fmt::Debug for Fill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fill")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// What is kept, for how long, and what goes first. (What threads do to each other: `tests/races`.)
#[cfg(test)]
mod tests {
    use super::*;

    const AGE: Duration = Duration::from_secs(60);

    fn key(number: u8) -> Key {
        Key::new("near".into(), [number; 32])
    }

    fn near() -> Arc<Near> {
        Arc::default()
    }

    fn recall_at(near: &Near, number: u8, age: Duration) -> Option<u8> {
        near.recall(&key(number), age, |memory| memory.downcast_ref().copied())
    }

    fn recall(near: &Near, number: u8) -> Option<u8> {
        recall_at(near, number, AGE)
    }

    fn begin(near: &Arc<Near>, number: u8) -> Fill {
        near.begin(&key(number)).expect("a slot")
    }

    /// Each key's value is its own number.
    fn keep(near: &Arc<Near>, numbers: impl IntoIterator<Item = u8>) {
        for number in numbers {
            begin(near, number).land(Arc::new(number));
        }
    }

    fn kept(near: &Near, among: impl IntoIterator<Item = u8>) -> Vec<u8> {
        among
            .into_iter()
            .filter_map(|number| recall(near, number))
            .collect()
    }

    #[test]
    fn a_value_is_kept_up_to_its_age_and_its_own_end() {
        let near = near();
        keep(&near, [1]);
        assert_eq!(recall(&near, 1), Some(1));
        assert_eq!(recall_at(&near, 1, Duration::ZERO), None);
        for (left, found) in [(AGE, Some(1)), (Duration::ZERO, None)] {
            let mut fill = begin(&near, 1);
            fill.left = Some(left);
            fill.land(Arc::new(1_u8));
            assert_eq!(recall(&near, 1), found);
        }
    }

    #[test]
    fn whatever_may_have_changed_a_key_empties_its_slot() {
        let own = Key::custom(&key(1).state_name()).expect("a digest's name");
        let changes: [&dyn Fn(&Near); 5] = [
            &|near| near.changed(key(1).state_name().as_bytes()),
            &|near| near.changed(key(1).value_name().as_bytes()),
            &|near| near.forget(&key(1)),
            &|near| near.forget(&own),
            &|near| near.all_changed(),
        ];
        for change in changes {
            let near = near();
            keep(&near, [1]);
            change(&near);
            assert_eq!(recall(&near, 1), None, "a value that was kept");
            let overtaken = begin(&near, 1);
            change(&near);
            overtaken.land(Arc::new(1_u8));
            assert_eq!(recall(&near, 1), None, "a value that was on its way");
            keep(&near, [1]);
            assert_eq!(recall(&near, 1), Some(1), "a value read since");
        }
    }

    /// Between its token and its slot a reader may be overtaken by `all_changed`, which then finds no slot to empty.
    #[test]
    fn a_slot_that_is_taken_across_a_break_is_void() {
        let near = near();
        let fill = begin(&near, 1);
        near.all_changed();
        near.slots.pin().insert(key(1), Slot::new(fill.token, None));
        fill.land(Arc::new(1_u8));
        assert_eq!(recall(&near, 1), None);
    }

    #[test]
    fn a_slot_is_filled_by_who_took_it_last() {
        let near = near();
        let (first, second) = (begin(&near, 1), begin(&near, 1));
        first.land(Arc::new(1_u8));
        assert_eq!(recall(&near, 1), None);
        second.land(Arc::new(2_u8));
        assert_eq!(recall(&near, 1), Some(2));
        drop(begin(&near, 1));
        let slot = near.slots.pin().get(&key(1)).is_some();
        assert!(!slot, "a read that came to nothing holds none");
    }

    #[test]
    fn the_oldest_go_first() {
        let near = near();
        near.resize(2);
        keep(&near, [1, 2]);
        // `kept` itself makes use of what it finds.
        let filled: Vec<Key> = near.filled().iter().map(|(key, _)| key.clone()).collect();
        assert_eq!(filled, [key(1), key(2)]);
        keep(&near, [3]);
        assert_eq!(kept(&near, 1..=3), [2, 3]);
        near.resize(0);
        assert!(near.begin(&key(1)).is_none(), "nothing is kept");
    }

    #[test]
    fn what_was_of_use_gets_another_turn_but_not_all_of_it() {
        let near = near();
        near.resize(2);
        keep(&near, [1, 2]);
        assert_eq!(recall(&near, 1), Some(1));
        keep(&near, [3]);
        assert_eq!(kept(&near, 1..=3), [1, 3]);
        let near = self::near();
        near.resize(10);
        keep(&near, 1..=10);
        assert_eq!(kept(&near, 1..=10).len(), 10);
        keep(&near, [11]);
        let chances = CHANCES as u8;
        assert_eq!(recall(&near, chances + 1), None);
        assert_eq!(kept(&near, 1..=11).len(), 10);
    }

    #[test]
    fn a_key_that_was_filled_anew_does_not_go_with_its_former_value() {
        let near = near();
        near.resize(2);
        keep(&near, [1]);
        near.forget(&key(1));
        keep(&near, [1, 2]);
        assert_eq!(kept(&near, [1, 2]), [1, 2]);
    }
}
