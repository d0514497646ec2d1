//! The encoding of stored values: one byte for the format version, then MessagePack with field names.
//!
//! The generic shell encodes the value that a body returned and decodes the value of a hit. Bytes that cannot be decoded
//! are a miss, never a panic, and decoding them takes bounded stack and memory.
//!
//! MessagePack has one nil, which `None`, `()` and a `Some` of either would share. So a `Some` whose value is a nil is an
//! extension that counts the `Some` around the nil. Every other `Some` is encoded as its value. `rmp-serde` does not
//! distinguish them, so this module implements serde's traits on top of `rmp`. It accepts less than `rmp-serde`: a struct
//! is decoded from a map only, and errors have no text of serde. Both save compile time in programs with many stored types.
//!
//! Decoding has a budget of memory. Each item of a list, each entry of a map and each field is charged the size of its type,
//! a text its bytes, and a box the size of its content. Nothing is counted that a type allocates by itself, or that serde
//! builds from a buffered value (flattened structs, untagged and internally tagged enums): only their buffer is charged.
//!
//! Limits:
//! - A value that consists mostly of nils inside more than three `Some` each is a miss. Such a nil has three bytes, but
//!   decoding it may allocate a box for each `Some`.
//! - A flattened `Option` of a struct without a required field is decoded as `Some`, because serde's derive loses the
//!   difference.
//! - An untagged enum is decoded as the first variant that fits.
//! - A 128-bit number inside a flattened struct, or inside an untagged or internally tagged enum, is a miss, because
//!   serde cannot buffer it.

mod de;
mod format;
mod reader;
mod ser;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) use format::{Undecodable, Unencodable};

use format::{FORMAT, MAX_DEPTH};
use reader::Reader;
use ser::Writer;

/// A larger encoding is decoded on trial. A smaller one exceeds the budget only if it takes more than 88 bytes of memory for
/// each of its bytes.
const TRIAL_SIZE: usize = 1 << 20;

/// A deeper value is decoded on trial. The encoder's count may differ from the decoder's, for example because only the decoder
/// counts a variant without content. But it is never less than half of it, and less one.
const TRIAL_DEPTH: usize = MAX_DEPTH / 4;

/// Encodes a value that will be decoded. A large or deep one is decoded on trial, because a value beyond the limits of the decoder
/// would never be a hit.
pub(crate) fn encode_decodable<T: Serialize + DeserializeOwned>(value: &T) -> Result<Vec<u8>, Unencodable> {
    let (bytes, depth) = encode(value)?;
    if bytes.len() > TRIAL_SIZE || depth > TRIAL_DEPTH {
        decode::<T>(&bytes).map_err(Unencodable::Undecodable)?;
    }
    Ok(bytes)
}

/// The encoding of a value, and its depth.
// Not inlined: with 100 annotated functions, one copy per type takes a third of the compile time of one per call.
#[inline(never)]
fn encode<T: Serialize>(value: &T) -> Result<(Vec<u8>, usize), Unencodable> {
    let mut writer = Writer::new(vec![FORMAT]);
    value.serialize(&mut writer)?;
    let depth = writer.max_depth();
    Ok((writer.into_bytes(), depth))
}

/// Decodes a value. Fails unless the bytes are exactly one value of this type.
#[inline(never)]
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Undecodable> {
    let bytes = bytes.strip_prefix(&[FORMAT]).ok_or(Undecodable::OtherFormat)?;
    let mut reader = Reader::new(bytes);
    let value = T::deserialize(&mut reader)?;
    match reader.is_at_end() {
        true => Ok(value),
        false => Err(Undecodable::TooLong),
    }
}

#[cfg(test)]
mod tests;
