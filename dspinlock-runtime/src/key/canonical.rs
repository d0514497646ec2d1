//! Canonical bytes of a serde value: every item begins with its type, and has a known length or an end mark.
//!
//! Numbers are little-endian and keep their width. Text and bytes have a length prefix. Structs contain their field
//! names. Maps are sorted by the canonical bytes of their keys. So `("a", "bc")` and `("ab", "c")` differ, and the order
//! of a `HashMap` does not matter. A newtype has the bytes of its content.

use std::fmt::{self, Display, Write};

use serde::Serialize;
use serde::ser::{self, Serializer};
use sha2::{Digest, Sha256};

use super::json_number::{self, Number};

/// Writes the canonical bytes of `value`.
pub(super) fn write<T: Serialize + ?Sized>(value: &T, sink: &mut impl Sink) -> Result<(), SerializeError> {
    value.serialize(Canonical::new(sink))
}

/// Writes the mark at the end of a list.
pub(super) fn end(sink: &mut impl Sink) {
    sink.write(&[END]);
}

/// Receives canonical bytes: a hash, or a buffer while a map is sorted.
pub(super) trait Sink {
    /// A number, the head of a text and an end mark are each one call.
    fn write(&mut self, bytes: &[u8]);

    /// A tuple struct begins. Its bytes are those of a list, but it is never a byte string.
    fn tuple_struct(&mut self) {}
}

impl Sink for Sha256 {
    fn write(&mut self, bytes: &[u8]) {
        self.update(bytes);
    }
}

impl Sink for Vec<u8> {
    fn write(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// A `Serialize` implementation failed. Its message is dropped, because it may quote the value.
#[derive(Debug)]
pub(super) struct SerializeError;

impl Display for SerializeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the value cannot be serialized")
    }
}

impl std::error::Error for SerializeError {}

impl ser::Error for SerializeError {
    fn custom<T: Display>(_: T) -> Self {
        Self
    }
}

/// Ends a list, a map or a struct.
pub(super) const END: u8 = 0;
const NONE: u8 = 1;
const SOME: u8 = 2;
pub(super) const UNIT: u8 = 3;
const BOOL: u8 = 4;
const CHAR: u8 = 5;
pub(super) const STR: u8 = 6;
pub(super) const BYTES: u8 = 7;
pub(super) const SEQ: u8 = 8;
const MAP: u8 = 9;
const STRUCT: u8 = 10;
const VARIANT: u8 = 11;
const NUMBER: u8 = 16;
/// The type of a `u8`, which has two canonical bytes.
pub(super) const U8: u8 = NUMBER + 5;

struct Canonical<'a, S> {
    sink: &'a mut S,
    /// The next value is the text of a number of `serde_json`.
    is_json_number: bool,
}

impl<'a, S: Sink> Canonical<'a, S> {
    fn new(sink: &'a mut S) -> Self {
        Self {
            sink,
            is_json_number: false,
        }
    }

    fn tagged(self, tag: u8, bytes: &[u8]) -> Result<(), SerializeError> {
        self.sink.write(&[tag]);
        self.sink.write(bytes);
        Ok(())
    }

    fn sized(self, tag: u8, bytes: &[u8]) -> Result<(), SerializeError> {
        self.sink.write(&sized_head(tag, bytes.len()));
        self.sink.write(bytes);
        Ok(())
    }

    fn variant(&mut self, name: &str) {
        let _ = Canonical::new(&mut *self.sink).sized(VARIANT, name.as_bytes());
    }

    /// The number of this text, or a struct with the text if no number has exactly its value.
    #[cold]
    fn json_number(self, text: &str) -> Result<(), SerializeError> {
        match json_number::parse(text) {
            Some(Number::Unsigned(number)) => self.serialize_u64(number),
            Some(Number::Signed(number)) => self.serialize_i64(number),
            Some(Number::Float(number)) => self.serialize_f64(number),
            None => {
                let mut fields = Items::begin(self.sink, STRUCT);
                fields.field(json_number::NAME, text)?;
                end(fields.0);
                Ok(())
            }
        }
    }
}

/// The head of a text or byte string: type and length. One write is faster than two.
fn sized_head(tag: u8, length: usize) -> [u8; 9] {
    let mut head = [tag; 9];
    head[1..].copy_from_slice(&(length as u64).to_le_bytes());
    head
}

macro_rules! numbers {
    ($($method:ident $type:ty, $tag:expr;)*) => {
        $(fn $method(self, v: $type) -> Result<(), SerializeError> {
            let mut whole = [NUMBER + $tag; 1 + size_of::<$type>()];
            whole[1..].copy_from_slice(&v.to_le_bytes());
            self.sink.write(&whole);
            Ok(())
        })*
    };
}

impl<'a, S: Sink> Serializer for Canonical<'a, S> {
    type Ok = ();
    type Error = SerializeError;
    type SerializeSeq = Items<'a, S>;
    type SerializeTuple = Items<'a, S>;
    type SerializeTupleStruct = Items<'a, S>;
    type SerializeTupleVariant = Items<'a, S>;
    type SerializeMap = Sorted<'a, S>;
    type SerializeStruct = Fields<'a, S>;
    type SerializeStructVariant = Items<'a, S>;

    numbers! {
        serialize_i8 i8, 0; serialize_i16 i16, 1; serialize_i32 i32, 2; serialize_i64 i64, 3; serialize_i128 i128, 4;
        serialize_u8 u8, 5; serialize_u16 u16, 6; serialize_u32 u32, 7; serialize_u64 u64, 8; serialize_u128 u128, 9;
    }

    fn serialize_f32(self, v: f32) -> Result<(), SerializeError> {
        let bits = if v.is_nan() { f32::NAN } else { v }.to_bits();
        self.tagged(NUMBER + 10, &bits.to_le_bytes())
    }

    fn serialize_f64(self, v: f64) -> Result<(), SerializeError> {
        let bits = if v.is_nan() { f64::NAN } else { v }.to_bits();
        self.tagged(NUMBER + 11, &bits.to_le_bytes())
    }

    fn serialize_bool(self, v: bool) -> Result<(), SerializeError> {
        self.tagged(BOOL, &[v.into()])
    }

    fn serialize_char(self, v: char) -> Result<(), SerializeError> {
        self.tagged(CHAR, &u32::from(v).to_le_bytes())
    }

    fn serialize_str(self, v: &str) -> Result<(), SerializeError> {
        if self.is_json_number {
            return self.json_number(v);
        }
        self.sized(STR, v.as_bytes())
    }

    /// Formats the text twice, because the length comes first and a copy would be an allocation. `format_args!`
    /// serializes by this method.
    fn collect_str<T: Display + ?Sized>(self, v: &T) -> Result<(), SerializeError> {
        let mut length = Length(0);
        write!(length, "{v}").map_err(|_| SerializeError)?;
        self.sink.write(&sized_head(STR, length.0));
        let mut text = Text {
            sink: self.sink,
            remaining: length.0,
        };
        write!(text, "{v}").map_err(|_| SerializeError)?;
        // A text that changes between the two calls has no stable key.
        if text.remaining == 0 {
            Ok(())
        } else {
            Err(SerializeError)
        }
    }

    fn serialize_bytes(self, v: &[u8]) -> Result<(), SerializeError> {
        self.sized(BYTES, v)
    }

    fn serialize_none(self) -> Result<(), SerializeError> {
        self.tagged(NONE, &[])
    }

    fn serialize_some<T: Serialize + ?Sized>(self, v: &T) -> Result<(), SerializeError> {
        self.sink.write(&[SOME]);
        v.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), SerializeError> {
        self.tagged(UNIT, &[])
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), SerializeError> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        mut self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), SerializeError> {
        self.variant(variant);
        self.serialize_unit()
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        v: &T,
    ) -> Result<(), SerializeError> {
        v.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        mut self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        v: &T,
    ) -> Result<(), SerializeError> {
        self.variant(variant);
        v.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Items<'a, S>, SerializeError> {
        Ok(Items::begin(self.sink, SEQ))
    }

    fn serialize_tuple(self, _: usize) -> Result<Items<'a, S>, SerializeError> {
        Ok(Items::begin(self.sink, SEQ))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Items<'a, S>, SerializeError> {
        self.sink.tuple_struct();
        Ok(Items::begin(self.sink, SEQ))
    }

    fn serialize_tuple_variant(
        mut self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Items<'a, S>, SerializeError> {
        self.variant(variant);
        Ok(Items::begin(self.sink, SEQ))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Sorted<'a, S>, SerializeError> {
        Ok(Sorted {
            sink: self.sink,
            entries: Vec::new(),
        })
    }

    fn serialize_struct(mut self, name: &'static str, _: usize) -> Result<Fields<'a, S>, SerializeError> {
        match name {
            json_number::NAME => return Ok(Fields::JsonNumber(self.sink)),
            // serde gives it the fields of a `Range`.
            "RangeInclusive" => self.variant(name),
            _ => {}
        }
        Ok(Fields::Struct(Items::begin(self.sink, STRUCT)))
    }

    fn serialize_struct_variant(
        mut self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Items<'a, S>, SerializeError> {
        self.variant(variant);
        Ok(Items::begin(self.sink, STRUCT))
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// Counts the bytes of a text.
struct Length(usize);

impl Write for Length {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}

/// Writes a text whose length is known.
struct Text<'a, S> {
    sink: &'a mut S,
    remaining: usize,
}

impl<S: Sink> Write for Text<'_, S> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.remaining = self.remaining.checked_sub(text.len()).ok_or(fmt::Error)?;
        self.sink.write(text.as_bytes());
        Ok(())
    }
}

/// Items in their order, then the end mark.
struct Items<'a, S>(&'a mut S);

impl<'a, S: Sink> Items<'a, S> {
    fn begin(sink: &'a mut S, tag: u8) -> Self {
        sink.write(&[tag]);
        Self(sink)
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &str, v: &T) -> Result<(), SerializeError> {
        Canonical::new(&mut *self.0).sized(STR, name.as_bytes())?;
        write(v, self.0)
    }
}

macro_rules! items {
    ($($trait:ident::$method:ident;)*) => {
        $(impl<S: Sink> ser::$trait for Items<'_, S> {
            type Ok = ();
            type Error = SerializeError;
            fn $method<T: Serialize + ?Sized>(&mut self, v: &T) -> Result<(), SerializeError> { write(v, self.0) }
            fn end(self) -> Result<(), SerializeError> { end(self.0); Ok(()) }
        })*
    };
}

items! {
    SerializeSeq::serialize_element;
    SerializeTuple::serialize_element;
    SerializeTupleStruct::serialize_field;
    SerializeTupleVariant::serialize_field;
}

impl<S: Sink> ser::SerializeStructVariant for Items<'_, S> {
    type Ok = ();
    type Error = SerializeError;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        v: &T,
    ) -> Result<(), SerializeError> {
        self.field(name, v)
    }

    fn end(self) -> Result<(), SerializeError> {
        end(self.0);
        Ok(())
    }
}

/// The fields of a struct.
enum Fields<'a, S> {
    Struct(Items<'a, S>),
    JsonNumber(&'a mut S),
}

impl<S: Sink> ser::SerializeStruct for Fields<'_, S> {
    type Ok = ();
    type Error = SerializeError;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        v: &T,
    ) -> Result<(), SerializeError> {
        match self {
            Self::Struct(items) => items.field(name, v),
            Self::JsonNumber(sink) => v.serialize(Canonical {
                sink: &mut **sink,
                is_json_number: true,
            }),
        }
    }

    fn end(self) -> Result<(), SerializeError> {
        if let Self::Struct(items) = self {
            end(items.0);
        }
        Ok(())
    }
}

/// The entries of a map, each with its key first. They are sorted at the end.
struct Sorted<'a, S> {
    sink: &'a mut S,
    entries: Vec<Vec<u8>>,
}

impl<S: Sink> ser::SerializeMap for Sorted<'_, S> {
    type Ok = ();
    type Error = SerializeError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), SerializeError> {
        let mut entry = Vec::new();
        write(key, &mut entry)?;
        self.entries.push(entry);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SerializeError> {
        write(value, self.entries.last_mut().ok_or(SerializeError)?)
    }

    fn end(mut self) -> Result<(), SerializeError> {
        self.entries.sort_unstable();
        self.sink.write(&[MAP]);
        self.entries.iter().for_each(|entry| self.sink.write(entry));
        end(self.sink);
        Ok(())
    }
}
