//! The bytes of a kept value: MessagePack with field names, behind one byte that says so.
//!
//! MessagePack has one nil, which a `None`, a `()` and a `Some` of either would share. So a `Some` whose value is a nil
//! is an extension that counts the `Some` around it; every other `Some` is its value alone. `rmp-serde` does not tell
//! them apart, which is why the way from serde to `rmp` is our own. It is narrower, too: a struct is read from a map
//! alone, and errors have no text, which saves users of many types most of the time that these take to compile.
//!
//! A value that consists of little but nils in more than three `Some` each is a miss: such a nil has three bytes, and
//! decoded it may be a box for each `Some`.
//!
//! What serde's derive loses before it gets here stays lost: a flattened `Option` of a struct without a required field
//! comes back as `Some`, and an untagged enum as its first variant that fits. Numbers of 128 bits inside flattened
//! structs and inside untagged or internally tagged enums are a miss, because serde cannot hold them back.

mod de;
mod reader;
mod ser;

use serde::Serialize;
use serde::de::DeserializeOwned;

use reader::Reader;
use ser::Writer;

/// The first byte of every encoded value; a value that begins otherwise was written by a version we do not know.
const FORMAT: u8 = 2;

/// How deep a stored value may nest: bytes from a store must not be able to exhaust the stack.
const MAX_DEPTH: usize = 128;

/// What `None`, `()` and unit structs are.
const NIL: u8 = 0xc0;

/// The beginning of an extension of one byte (`fixext 1`, our type 0): how many `Some` are around a nil.
const NESTED_NIL: [u8; 2] = [0xd4, 0];

/// A value's `Serialize` implementation failed, or wants what cannot be read back.
#[derive(Debug)]
pub(crate) struct Unencodable;

/// Some bytes are not a value of the type that is read.
#[derive(Debug)]
struct Undecodable;

/// The bytes of a value.
// Not inlined: over 100 annotated functions, one copy per type takes a third of the compile time of one per call.
#[inline(never)]
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, Unencodable> {
    let mut writer = Writer::after(vec![FORMAT]);
    value.serialize(&mut writer)?;
    Ok(writer.into_bytes())
}

/// The value of some bytes; `None` where they are not wholly one value of this type, which makes them a miss.
#[inline(never)]
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let mut reader = Reader::new(bytes.strip_prefix(&[FORMAT])?);
    let value = T::deserialize(&mut reader).ok()?;
    reader.is_at_end().then_some(value)
}

#[cfg(test)]
mod tests;
