//! The digest that py-dspinlock computes of a single text or byte string: SHA-256 of the bytes alone.
//!
//! The hasher passes the canonical bytes of the first part of a shared key through here. A list that contains only
//! `u8`, also the empty list, is a byte string, because serde serializes `&[u8]` and `Vec<u8>` as lists.

use sha2::{Digest, Sha256};

use super::canonical::{BYTES, END, SEQ, STR, Sink, U8};

/// Receives canonical bytes, and hashes the content if they are a text or a byte string.
#[derive(Default)]
pub(super) struct Raw {
    content: Sha256,
    kind: Kind,
}

#[derive(Default, Clone, Copy, PartialEq)]
enum Kind {
    /// Nothing was written.
    #[default]
    Unknown,
    /// The head of a text or byte string was written: everything else is content.
    Bytes,
    /// The beginning of a list and any number of `u8` were written.
    List,
    /// A list of `u8` was written to its end.
    EndedList,
    /// The value is not a text or a byte string.
    Other,
}

impl Raw {
    /// The digest of the content, `None` if the value is not a text or a byte string.
    pub(super) fn digest(self) -> Option<[u8; 32]> {
        matches!(self.kind, Kind::Bytes | Kind::EndedList).then(|| self.content.finalize().into())
    }
}

impl Sink for Raw {
    // Not inlined into the user's types: only shared keys need it.
    #[inline(never)]
    fn write(&mut self, bytes: &[u8]) {
        match (self.kind, bytes) {
            (Kind::Unknown, [STR | BYTES, ..]) => self.kind = Kind::Bytes,
            (Kind::Unknown, [SEQ]) => self.kind = Kind::List,
            (Kind::Bytes, content) => self.content.update(content),
            (Kind::List, [U8, byte]) => self.content.update([*byte]),
            (Kind::List, [END]) => self.kind = Kind::EndedList,
            _ => self.kind = Kind::Other,
        }
    }

    fn tuple_struct(&mut self) {
        self.kind = Kind::Other;
    }
}
