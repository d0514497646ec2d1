//! The digest of a key that Python may know. The hasher calls it.
//!
//! Its value is the only part, or the tuple of several parts. So a lock on `(a, b)` and a function with the parts `a` and `b`
//! have the same key. py-dspinlock hashes the bytes of a text or byte string alone. A list that contains only `u8` is a byte
//! string, because serde serializes `&[u8]` and `Vec<u8>` as lists.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use super::canonical::{BYTES, END, SEQ, STR, Sink, U8, UNIT};

/// The canonical bytes of the parts. They are kept to the end, because it decides what precedes them.
#[derive(Default, Clone)]
pub(super) struct Shared {
    parts: Vec<u8>,
    has_tuple_struct: bool,
}

impl Shared {
    /// The digest of a key of so many parts.
    pub(super) fn digest(&self, count: usize) -> [u8; 32] {
        let parts = self.parts.as_slice();
        let value: Cow<'_, [u8]> = match count {
            0 => Cow::Borrowed(&[UNIT]),
            1 => Cow::Borrowed(parts),
            _ => Cow::Owned([&[SEQ], parts, &[END]].concat()),
        };
        let content = text_or_bytes(&value).filter(|_| !self.has_tuple_struct);
        match content {
            Some(content) => Sha256::digest(content),
            None => Sha256::new_with_prefix(&value).chain_update([END]).finalize(),
        }
        .into()
    }
}

impl Sink for Shared {
    // Not inlined into the user's types: only shared keys need it.
    #[inline(never)]
    fn write(&mut self, bytes: &[u8]) {
        self.parts.extend_from_slice(bytes);
    }

    fn tuple_struct(&mut self) {
        self.has_tuple_struct = true;
    }
}

/// The content of a text or a byte string, which may be a list of `u8`.
fn text_or_bytes(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    match value {
        [STR | BYTES, rest @ ..] => rest.get(size_of::<u64>()..).map(Cow::Borrowed),
        [SEQ, items @ .., END] => {
            let (items, rest) = items.as_chunks();
            let byte = |&[tag, byte]: &[u8; 2]| (tag == U8).then_some(byte);
            let bytes = items.iter().map(byte).collect::<Option<Vec<_>>>();
            bytes.filter(|_| rest.is_empty()).map(Cow::Owned)
        }
        _ => None,
    }
}
