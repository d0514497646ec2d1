//! Interned records. The states of a model contain the small index of a record instead of the record.

use std::collections::HashMap;
use std::sync::{LazyLock, PoisonError, RwLock};

use bytes::Bytes;
use dspinlock_runtime::internals::protocol::record::Record;

use crate::mutation::content;

/// Index of a record. Equal records have equal indexes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RecordId(usize);

#[derive(Default)]
struct Table {
    ids: HashMap<Record, usize>,
    records: Vec<Record>,
}

static TABLE: LazyLock<RwLock<Table>> = LazyLock::new(RwLock::default);

impl RecordId {
    /// Interns a record.
    pub fn of(record: Record) -> Self {
        let table = TABLE.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = table.ids.get(&record) {
            return Self(*id);
        }
        drop(table);
        let mut table = TABLE.write().unwrap_or_else(PoisonError::into_inner);
        let next = table.records.len();
        let id = *table.ids.entry(record.clone()).or_insert(next);
        if id == next {
            table.records.push(record);
        }
        Self(id)
    }

    /// The record.
    pub fn record(self) -> Record {
        let table = TABLE.read().unwrap_or_else(PoisonError::into_inner);
        table.records[self.0].clone()
    }

    /// The bytes of the record's value entry, without the expiry.
    pub fn value(self) -> Option<Bytes> {
        content(&self.record().value).cloned()
    }
}
