//! Canonical bytes of a serde value: every item begins with its type and tells its own end.
//!
//! Numbers are little-endian and of their own width, text and bytes are length-prefixed, structs carry their field
//! names, maps are sorted by the canonical bytes of their keys. So `("a", "bc")` and `("ab", "c")` differ, and a
//! `HashMap` gives the same bytes whatever its order. A newtype is its content.

use std::fmt::{self, Display, Write};

use serde::Serialize;
use serde::ser::{self, Serializer};
use sha2::{Digest, Sha256};

/// Feeds the canonical bytes of `value` to `sink`.
pub(super) fn feed<T: Serialize + ?Sized>(value: &T, sink: &mut impl Sink) -> Result<(), Refused> {
    value.serialize(Canon(sink))
}

/// Marks the end of a list of parts.
pub(super) fn end(sink: &mut impl Sink) {
    sink.put(&[END]);
}

/// Where canonical bytes go: the hash, or a buffer while a map is sorted.
pub(super) trait Sink {
    fn put(&mut self, bytes: &[u8]);
}

impl Sink for Sha256 {
    fn put(&mut self, bytes: &[u8]) {
        self.update(bytes);
    }
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// A `Serialize` implementation failed. Its message is dropped: it may quote the value.
#[derive(Debug)]
pub(super) struct Refused;

impl Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the value cannot be serialized")
    }
}

impl std::error::Error for Refused {}

impl ser::Error for Refused {
    fn custom<T: Display>(_: T) -> Self {
        Self
    }
}

const END: u8 = 0;
const NONE: u8 = 1;
const SOME: u8 = 2;
const UNIT: u8 = 3;
const BOOL: u8 = 4;
const CHAR: u8 = 5;
const STR: u8 = 6;
const BYTES: u8 = 7;
const SEQ: u8 = 8;
const MAP: u8 = 9;
const STRUCT: u8 = 10;
const VARIANT: u8 = 11;
const NUMBER: u8 = 16;
/// The type of a `u8`, whose canonical form is two bytes.
pub(super) const U8: u8 = NUMBER + 5;

struct Canon<'a, S>(&'a mut S);

impl<S: Sink> Canon<'_, S> {
    fn tagged(self, tag: u8, bytes: &[u8]) -> Result<(), Refused> {
        self.0.put(&[tag]);
        self.0.put(bytes);
        Ok(())
    }

    fn sized(self, tag: u8, bytes: &[u8]) -> Result<(), Refused> {
        self.0.put(&sized(tag, bytes.len()));
        self.0.put(bytes);
        Ok(())
    }

    fn variant(&mut self, name: &str) {
        let _ = Canon(&mut *self.0).sized(VARIANT, name.as_bytes());
    }
}

/// What precedes a text or byte string. In one piece: each piece costs the hash some nanoseconds.
fn sized(tag: u8, length: usize) -> [u8; 9] {
    let mut head = [tag; 9];
    head[1..].copy_from_slice(&(length as u64).to_le_bytes());
    head
}

macro_rules! numbers {
    ($($method:ident $type:ty, $tag:expr;)*) => {
        $(fn $method(self, v: $type) -> Result<(), Refused> {
            let mut whole = [NUMBER + $tag; 1 + size_of::<$type>()];
            whole[1..].copy_from_slice(&v.to_le_bytes());
            self.0.put(&whole);
            Ok(())
        })*
    };
}

impl<'a, S: Sink> Serializer for Canon<'a, S> {
    type Ok = ();
    type Error = Refused;
    type SerializeSeq = Items<'a, S>;
    type SerializeTuple = Items<'a, S>;
    type SerializeTupleStruct = Items<'a, S>;
    type SerializeTupleVariant = Items<'a, S>;
    type SerializeMap = Sorted<'a, S>;
    type SerializeStruct = Items<'a, S>;
    type SerializeStructVariant = Items<'a, S>;

    numbers! {
        serialize_i8 i8, 0; serialize_i16 i16, 1; serialize_i32 i32, 2; serialize_i64 i64, 3; serialize_i128 i128, 4;
        serialize_u8 u8, 5; serialize_u16 u16, 6; serialize_u32 u32, 7; serialize_u64 u64, 8; serialize_u128 u128, 9;
    }

    fn serialize_f32(self, v: f32) -> Result<(), Refused> {
        let bits = if v.is_nan() { f32::NAN } else { v }.to_bits();
        self.tagged(NUMBER + 10, &bits.to_le_bytes())
    }

    fn serialize_f64(self, v: f64) -> Result<(), Refused> {
        let bits = if v.is_nan() { f64::NAN } else { v }.to_bits();
        self.tagged(NUMBER + 11, &bits.to_le_bytes())
    }

    fn serialize_bool(self, v: bool) -> Result<(), Refused> {
        self.tagged(BOOL, &[v.into()])
    }

    fn serialize_char(self, v: char) -> Result<(), Refused> {
        self.tagged(CHAR, &u32::from(v).to_le_bytes())
    }

    fn serialize_str(self, v: &str) -> Result<(), Refused> {
        self.sized(STR, v.as_bytes())
    }

    /// Twice over the text, first for its length, so that no copy of it is needed. (`format_args!` comes here.)
    fn collect_str<T: Display + ?Sized>(self, v: &T) -> Result<(), Refused> {
        let mut length = Length(0);
        write!(length, "{v}").map_err(|_| Refused)?;
        self.0.put(&sized(STR, length.0));
        let mut text = Text {
            sink: self.0,
            left: length.0,
        };
        write!(text, "{v}").map_err(|_| Refused)?;
        // A text that changes between two looks has no stable key.
        if text.left == 0 { Ok(()) } else { Err(Refused) }
    }

    fn serialize_bytes(self, v: &[u8]) -> Result<(), Refused> {
        self.sized(BYTES, v)
    }

    fn serialize_none(self) -> Result<(), Refused> {
        self.tagged(NONE, &[])
    }

    fn serialize_some<T: Serialize + ?Sized>(self, v: &T) -> Result<(), Refused> {
        self.0.put(&[SOME]);
        v.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Refused> {
        self.tagged(UNIT, &[])
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Refused> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        mut self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), Refused> {
        self.variant(variant);
        self.serialize_unit()
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, v: &T) -> Result<(), Refused> {
        v.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        mut self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        v: &T,
    ) -> Result<(), Refused> {
        self.variant(variant);
        v.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Items<'a, S>, Refused> {
        Ok(Items::begin(self.0, SEQ))
    }

    fn serialize_tuple(self, _: usize) -> Result<Items<'a, S>, Refused> {
        Ok(Items::begin(self.0, SEQ))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Items<'a, S>, Refused> {
        Ok(Items::begin(self.0, SEQ))
    }

    fn serialize_tuple_variant(
        mut self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Items<'a, S>, Refused> {
        self.variant(variant);
        Ok(Items::begin(self.0, SEQ))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Sorted<'a, S>, Refused> {
        Ok(Sorted {
            sink: self.0,
            entries: Vec::new(),
        })
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Items<'a, S>, Refused> {
        Ok(Items::begin(self.0, STRUCT))
    }

    fn serialize_struct_variant(
        mut self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Items<'a, S>, Refused> {
        self.variant(variant);
        Ok(Items::begin(self.0, STRUCT))
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// The length of a text.
struct Length(usize);

impl Write for Length {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}

/// A text of a known length.
struct Text<'a, S> {
    sink: &'a mut S,
    left: usize,
}

impl<S: Sink> Write for Text<'_, S> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.left = self.left.checked_sub(text.len()).ok_or(fmt::Error)?;
        self.sink.put(text.as_bytes());
        Ok(())
    }
}

/// Items in their own order, up to an end mark.
struct Items<'a, S>(&'a mut S);

impl<'a, S: Sink> Items<'a, S> {
    fn begin(sink: &'a mut S, tag: u8) -> Self {
        sink.put(&[tag]);
        Self(sink)
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &str, v: &T) -> Result<(), Refused> {
        Canon(&mut *self.0).sized(STR, name.as_bytes())?;
        feed(v, self.0)
    }
}

macro_rules! items {
    ($($trait:ident::$method:ident;)*) => {
        $(impl<S: Sink> ser::$trait for Items<'_, S> {
            type Ok = ();
            type Error = Refused;
            fn $method<T: Serialize + ?Sized>(&mut self, v: &T) -> Result<(), Refused> { feed(v, self.0) }
            fn end(self) -> Result<(), Refused> { end(self.0); Ok(()) }
        })*
    };
}

items! {
    SerializeSeq::serialize_element;
    SerializeTuple::serialize_element;
    SerializeTupleStruct::serialize_field;
    SerializeTupleVariant::serialize_field;
}

macro_rules! fields {
    ($($trait:ident)*) => {
        $(impl<S: Sink> ser::$trait for Items<'_, S> {
            type Ok = ();
            type Error = Refused;
            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, v: &T) -> Result<(), Refused> {
                self.field(name, v)
            }
            fn end(self) -> Result<(), Refused> { end(self.0); Ok(()) }
        })*
    };
}

fields! { SerializeStruct SerializeStructVariant }

/// A map's entries, each key with its value behind it, sorted when all are there.
struct Sorted<'a, S> {
    sink: &'a mut S,
    entries: Vec<Vec<u8>>,
}

impl<S: Sink> ser::SerializeMap for Sorted<'_, S> {
    type Ok = ();
    type Error = Refused;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Refused> {
        let mut entry = Vec::new();
        feed(key, &mut entry)?;
        self.entries.push(entry);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refused> {
        feed(value, self.entries.last_mut().ok_or(Refused)?)
    }

    fn end(mut self) -> Result<(), Refused> {
        self.entries.sort_unstable();
        self.sink.put(&[MAP]);
        self.entries.iter().for_each(|entry| self.sink.put(entry));
        end(self.sink);
        Ok(())
    }
}
