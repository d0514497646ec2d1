//! A record by its number: what a state of a model holds, clones and hashes is small.

use std::collections::HashMap;
use std::sync::{LazyLock, PoisonError, RwLock};

use bytes::Bytes;
use dspinlock_runtime::internals::protocol::record::Record;

use crate::rule::content;

/// One record. Two are equal where their records are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kept(usize);

#[derive(Default)]
struct Known {
    numbers: HashMap<Record, usize>,
    records: Vec<Record>,
}

static KNOWN: LazyLock<RwLock<Known>> = LazyLock::new(RwLock::default);

impl Kept {
    /// The number of a record.
    pub fn of(record: Record) -> Self {
        let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = known.numbers.get(&record) {
            return Self(*number);
        }
        drop(known);
        let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
        let next = known.records.len();
        let number = *known.numbers.entry(record.clone()).or_insert(next);
        if number == next {
            known.records.push(record);
        }
        Self(number)
    }

    /// The record.
    pub fn record(self) -> Record {
        let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
        known.records[self.0].clone()
    }

    /// The bytes of its value, whatever their end.
    pub fn value(self) -> Option<Bytes> {
        content(&self.record().value).cloned()
    }
}
