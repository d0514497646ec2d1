//! Interned entries. The states of a model contain the small index of an entry instead of the entry.

use std::collections::HashMap;
use std::sync::{LazyLock, PoisonError, RwLock};

use dspinlock_runtime::internals::protocol::record::Entry;

/// Index of an entry. Equal entries have equal indexes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EntryId(usize);

#[derive(Default)]
struct Table {
    ids: HashMap<Entry, usize>,
    entries: Vec<Entry>,
}

static TABLE: LazyLock<RwLock<Table>> = LazyLock::new(RwLock::default);

impl EntryId {
    /// Interns an entry.
    pub fn of(entry: Entry) -> Self {
        let table = TABLE.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = table.ids.get(&entry) {
            return Self(*id);
        }
        drop(table);
        let mut table = TABLE.write().unwrap_or_else(PoisonError::into_inner);
        let next = table.entries.len();
        let id = *table.ids.entry(entry.clone()).or_insert(next);
        if id == next {
            table.entries.push(entry);
        }
        Self(id)
    }

    /// The entry.
    pub fn entry(self) -> Entry {
        let table = TABLE.read().unwrap_or_else(PoisonError::into_inner);
        table.entries[self.0].clone()
    }
}
