//! The format's constants and errors, which the encoder and the decoder share.

use std::fmt::{self, Display};

use serde::{de, ser};

/// The first byte of every encoded value. A value with another first byte has another format version.
pub(super) const FORMAT: u8 = 2;

/// The maximum depth of a stored value, so that bytes from a store cannot overflow the stack.
pub(super) const MAX_DEPTH: usize = 128;

/// The memory that decoding may take, in bytes, for an encoding of `len` bytes: 64 MiB, and 24 bytes for each byte.
///
/// A nil is one byte, and may be a `None` of a type of any size. The constant is for small values that are sparse. The
/// multiple is for large values: an empty `String` or `Vec` takes 24 bytes, and its encoding one byte.
pub(super) fn budget(len: usize) -> usize {
    len.saturating_mul(24).saturating_add(64 << 20)
}

/// The encoding of `None`, `()` and unit structs.
pub(super) const NIL: u8 = 0xc0;

/// The first two bytes of a nil inside `Some`: an extension of one byte (`fixext 1`) and the extension type 0. The third
/// byte is the number of `Some` around the nil.
pub(super) const NESTED_NIL: [u8; 2] = [0xd4, 0];

/// A value cannot be encoded: its `Serialize` implementation failed, or the result could not be decoded.
#[derive(Debug)]
pub(crate) struct Unencodable;

impl Display for Unencodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the value cannot be encoded")
    }
}

impl std::error::Error for Unencodable {}

impl ser::Error for Unencodable {
    // The message may contain the value, which no error of this crate shows.
    fn custom<T: Display>(_: T) -> Self {
        Self
    }
}

/// The bytes are not a value of the requested type.
#[derive(Debug)]
pub(super) struct Undecodable;

impl Display for Undecodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bytes are not a value of this type")
    }
}

impl std::error::Error for Undecodable {}

impl de::Error for Undecodable {
    // A value that cannot be decoded is a miss, and the caller of `decode` does not see the reason.
    fn custom<T: Display>(_: T) -> Self {
        Self
    }
}
