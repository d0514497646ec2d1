//! The format's constants and errors, which the encoder and the decoder share.

use std::fmt::{self, Display};

use serde::de::{self, Expected, Unexpected};
use serde::ser;

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

/// A value is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unencodable {
    /// The `Serialize` implementation returned an error, or a length does not fit into MessagePack.
    Failed,
    /// The encoding cannot be decoded.
    Undecodable(Undecodable),
}

impl Display for Unencodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed => f.write_str("its `Serialize` implementation returned an error"),
            Self::Undecodable(reason) => write!(f, "its encoding cannot be decoded: {reason}"),
        }
    }
}

impl std::error::Error for Unencodable {}

impl ser::Error for Unencodable {
    // The message may contain the value, which no error of this crate shows.
    fn custom<T: Display>(_: T) -> Self {
        Self::Failed
    }
}

/// Why bytes are not a value of the requested type.
///
/// It is small and has no text of serde, because such a text may contain the value, and an untagged enum makes an error for each
/// variant that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undecodable {
    /// The first byte is that of another version.
    OtherFormat,
    /// The bytes end too early.
    TooShort,
    /// There are bytes behind the value.
    TooLong,
    /// The bytes are not MessagePack.
    Damaged,
    /// More than [`MAX_DEPTH`] levels.
    TooDeep,
    /// More than [`budget`] allows.
    OverBudget,
    /// Another type than the requested one.
    OtherType,
    /// A number or a text that the type does not accept.
    OtherValue,
    /// More or fewer items than the type has.
    OtherLength,
    /// A variant that the enum does not have.
    UnknownVariant,
    /// A field that the struct does not have, and refuses.
    UnknownField,
    /// A field that the bytes do not have.
    MissingField(&'static str),
    /// A field that the bytes have twice.
    DuplicateField(&'static str),
    /// The `Deserialize` implementation returned another error.
    Refused,
}

impl Display for Undecodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OtherFormat => "it has another format version",
            Self::TooShort => "it is too short",
            Self::TooLong => "it is too long",
            Self::Damaged => "it is damaged",
            Self::TooDeep => return write!(f, "it is nested more than {MAX_DEPTH} levels deep"),
            Self::OverBudget => "it would take too much memory",
            Self::OtherType => "it contains another type than expected",
            Self::OtherValue => "it contains a value out of range",
            Self::OtherLength => "it contains another number of items than expected",
            Self::UnknownVariant => "it contains an unknown variant",
            Self::UnknownField => "it contains an unknown field",
            Self::MissingField(name) => return write!(f, "the field `{name}` is missing"),
            Self::DuplicateField(name) => return write!(f, "the field `{name}` occurs twice"),
            Self::Refused => "its `Deserialize` implementation returned an error",
        })
    }
}

impl std::error::Error for Undecodable {}

impl de::Error for Undecodable {
    fn custom<T: Display>(_: T) -> Self {
        Self::Refused
    }

    fn invalid_type(_: Unexpected<'_>, _: &dyn Expected) -> Self {
        Self::OtherType
    }

    fn invalid_value(_: Unexpected<'_>, _: &dyn Expected) -> Self {
        Self::OtherValue
    }

    fn invalid_length(_: usize, _: &dyn Expected) -> Self {
        Self::OtherLength
    }

    fn unknown_variant(_: &str, _: &'static [&'static str]) -> Self {
        Self::UnknownVariant
    }

    fn unknown_field(_: &str, _: &'static [&'static str]) -> Self {
        Self::UnknownField
    }

    fn missing_field(name: &'static str) -> Self {
        Self::MissingField(name)
    }

    fn duplicate_field(name: &'static str) -> Self {
        Self::DuplicateField(name)
    }
}
