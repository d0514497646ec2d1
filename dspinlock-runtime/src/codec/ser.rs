//! The encoder: MessagePack from serde's data model. `codec::encode` calls it.

use rmp::encode;
use serde::ser::{self, Serialize, Serializer};

use super::format::{NESTED_NIL, NIL, Unencodable};
use crate::key::json_number::{self, Number};

/// Writes one value.
pub(super) struct Writer {
    bytes: Vec<u8>,
    /// The next text is that of a number of `serde_json`.
    is_json_number: bool,
    /// How many compounds, variants and `Some` are open.
    depth: usize,
    /// The maximum of `depth` so far.
    max_depth: usize,
}

impl Writer {
    /// A writer that appends to `bytes`.
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            is_json_number: false,
            depth: 0,
            max_depth: 0,
        }
    }

    pub(super) fn max_depth(&self) -> usize {
        self.max_depth
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn enter(&mut self) {
        self.depth += 1;
        self.max_depth = self.max_depth.max(self.depth);
    }

    fn leave(&mut self) {
        self.depth -= 1;
    }

    fn str(&mut self, text: &str) -> Result<(), Unencodable> {
        length(text.len())?;
        encode::write_str(&mut self.bytes, text).map_err(|_| Unencodable::Failed)
    }

    fn bin(&mut self, data: &[u8]) -> Result<(), Unencodable> {
        length(data.len())?;
        encode::write_bin(&mut self.bytes, data).map_err(|_| Unencodable::Failed)
    }

    fn uint(&mut self, number: u64) -> Result<(), Unencodable> {
        encode::write_uint(&mut self.bytes, number)
            .map(drop)
            .map_err(|_| Unencodable::Failed)
    }

    /// The shortest signed form, so that a value that describes itself is read back as signed. `rmp` alone would write a
    /// positive number as unsigned.
    fn sint(&mut self, number: i64) -> Result<(), Unencodable> {
        let bytes = &mut self.bytes;
        if number < 0 {
            encode::write_sint(bytes, number).map(drop)
        } else if let Ok(number) = number.try_into() {
            encode::write_i8(bytes, number)
        } else if let Ok(number) = number.try_into() {
            encode::write_i16(bytes, number)
        } else if let Ok(number) = number.try_into() {
            encode::write_i32(bytes, number)
        } else {
            encode::write_i64(bytes, number)
        }
        .map_err(|_| Unencodable::Failed)
    }

    /// The number of this text, or a struct with the text if no number has exactly its value.
    fn json_number(&mut self, text: &str) -> Result<(), Unencodable> {
        match json_number::parse(text) {
            Some(Number::Unsigned(number)) => self.uint(number),
            Some(Number::Signed(number)) => self.sint(number),
            Some(Number::Float(number)) => {
                encode::write_f64(&mut self.bytes, number).map_err(|_| Unencodable::Failed)
            }
            None => {
                Kind::Map.header(&mut self.bytes, 1)?;
                self.str(json_number::NAME)?;
                self.str(text)
            }
        }
    }

    /// Begins a variant with content: a map of one pair, whose key is the variant's name.
    fn variant(&mut self, name: &str) -> Result<(), Unencodable> {
        Kind::Map.header(&mut self.bytes, 1)?;
        self.str(name)
    }

    fn open(&mut self, kind: Kind, announced: usize) -> Result<Compound<'_>, Unencodable> {
        let header = self.bytes.len();
        kind.header(&mut self.bytes, announced)?;
        self.enter();
        Ok(Compound {
            body: self.bytes.len(),
            writer: self,
            kind,
            header,
            announced,
            written: 0,
        })
    }

    /// Adds a `Some` around the value at `start`, if it is a nil.
    fn nest(&mut self, start: usize) {
        match self.bytes[start..] {
            [NIL] => {
                self.bytes.truncate(start);
                self.bytes.extend(NESTED_NIL);
                self.bytes.push(1);
            }
            // The reader's depth limit is lower than the largest count, so a saturated count is a miss.
            [marker, kind, ref mut depth] if [marker, kind] == NESTED_NIL => *depth = depth.saturating_add(1),
            _ => {}
        }
    }
}

/// A length that fits into MessagePack. Without this check the cast to 32 bits would truncate it.
fn length(len: usize) -> Result<u32, Unencodable> {
    u32::try_from(len).map_err(|_| Unencodable::Failed)
}

#[derive(Clone, Copy)]
enum Kind {
    Array,
    Map,
    /// The struct of a number of `serde_json`, which becomes the number.
    JsonNumber,
}

impl Kind {
    fn header(self, bytes: &mut Vec<u8>, len: usize) -> Result<(), Unencodable> {
        let len = length(len)?;
        match self {
            Kind::Array => encode::write_array_len(bytes, len),
            Kind::Map => encode::write_map_len(bytes, len),
            Kind::JsonNumber => return Ok(()),
        }
        .map(drop)
        .map_err(|_| Unencodable::Failed)
    }
}

/// An array or a map that is being written. The header is the bytes from `header` to `body`.
pub(super) struct Compound<'a> {
    writer: &'a mut Writer,
    kind: Kind,
    header: usize,
    body: usize,
    announced: usize,
    written: usize,
}

impl Compound<'_> {
    fn item<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), Unencodable> {
        self.written += 1;
        item.serialize(&mut *self.writer)
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), Unencodable> {
        if let Kind::JsonNumber = self.kind {
            self.writer.is_json_number = true;
            let item = self.item(value);
            self.writer.is_json_number = false;
            return item;
        }
        self.writer.str(name)?;
        self.item(value)
    }

    // A flattened struct does not know its number of fields in advance, so the header is corrected at the end.
    fn close(self) -> Result<(), Unencodable> {
        if self.written != self.announced {
            let mut header = Vec::new();
            self.kind.header(&mut header, self.written)?;
            self.writer.bytes.splice(self.header..self.body, header);
        }
        self.writer.leave();
        Ok(())
    }
}

impl<'a> Serializer for &'a mut Writer {
    type Ok = ();
    type Error = Unencodable;
    type SerializeSeq = Compound<'a>;
    type SerializeTuple = Compound<'a>;
    type SerializeTupleStruct = Compound<'a>;
    type SerializeTupleVariant = Compound<'a>;
    type SerializeMap = Compound<'a>;
    type SerializeStruct = Compound<'a>;
    type SerializeStructVariant = Compound<'a>;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn serialize_bool(self, v: bool) -> Result<(), Unencodable> {
        encode::write_bool(&mut self.bytes, v).map_err(|_| Unencodable::Failed)
    }

    fn serialize_i8(self, v: i8) -> Result<(), Unencodable> {
        self.sint(v.into())
    }

    fn serialize_i16(self, v: i16) -> Result<(), Unencodable> {
        self.sint(v.into())
    }

    fn serialize_i32(self, v: i32) -> Result<(), Unencodable> {
        self.sint(v.into())
    }

    fn serialize_i64(self, v: i64) -> Result<(), Unencodable> {
        self.sint(v)
    }

    fn serialize_i128(self, v: i128) -> Result<(), Unencodable> {
        self.bin(&v.to_be_bytes())
    }

    fn serialize_u8(self, v: u8) -> Result<(), Unencodable> {
        self.uint(v.into())
    }

    fn serialize_u16(self, v: u16) -> Result<(), Unencodable> {
        self.uint(v.into())
    }

    fn serialize_u32(self, v: u32) -> Result<(), Unencodable> {
        self.uint(v.into())
    }

    fn serialize_u64(self, v: u64) -> Result<(), Unencodable> {
        self.uint(v)
    }

    fn serialize_u128(self, v: u128) -> Result<(), Unencodable> {
        self.bin(&v.to_be_bytes())
    }

    fn serialize_f32(self, v: f32) -> Result<(), Unencodable> {
        encode::write_f32(&mut self.bytes, v).map_err(|_| Unencodable::Failed)
    }

    fn serialize_f64(self, v: f64) -> Result<(), Unencodable> {
        encode::write_f64(&mut self.bytes, v).map_err(|_| Unencodable::Failed)
    }

    fn serialize_char(self, v: char) -> Result<(), Unencodable> {
        self.str(v.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, v: &str) -> Result<(), Unencodable> {
        if self.is_json_number {
            return self.json_number(v);
        }
        self.str(v)
    }

    fn serialize_bytes(self, v: &[u8]) -> Result<(), Unencodable> {
        self.bin(v)
    }

    fn serialize_none(self) -> Result<(), Unencodable> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Unencodable> {
        let start = self.bytes.len();
        self.enter();
        value.serialize(&mut *self)?;
        self.leave();
        self.nest(start);
        Ok(())
    }

    fn serialize_unit(self) -> Result<(), Unencodable> {
        encode::write_nil(&mut self.bytes).map_err(|_| Unencodable::Failed)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Unencodable> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), Unencodable> {
        self.str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Unencodable> {
        // `rmpv` uses this name for an extension, which would be decoded as an array.
        if name == "_ExtStruct" {
            return Err(Unencodable::Failed);
        }
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Unencodable> {
        self.variant(variant)?;
        self.enter();
        value.serialize(&mut *self)?;
        self.leave();
        Ok(())
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Compound<'a>, Unencodable> {
        self.open(Kind::Array, len.unwrap_or(0))
    }

    fn serialize_tuple(self, len: usize) -> Result<Compound<'a>, Unencodable> {
        self.open(Kind::Array, len)
    }

    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<Compound<'a>, Unencodable> {
        self.open(Kind::Array, len)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Compound<'a>, Unencodable> {
        self.variant(variant)?;
        self.open(Kind::Array, len)
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Compound<'a>, Unencodable> {
        self.open(Kind::Map, len.unwrap_or(0))
    }

    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Compound<'a>, Unencodable> {
        let is_number = name == json_number::NAME;
        self.open(if is_number { Kind::JsonNumber } else { Kind::Map }, len)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Compound<'a>, Unencodable> {
        self.variant(variant)?;
        self.open(Kind::Map, len)
    }
}

/// The traits of compounds that are arrays.
macro_rules! arrays {
    ($($name:ident $method:ident,)*) => {$(
        impl ser::$name for Compound<'_> {
            type Ok = ();
            type Error = Unencodable;

            fn $method<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), Unencodable> {
                self.item(item)
            }

            fn end(self) -> Result<(), Unencodable> {
                self.close()
            }
        }
    )*};
}

arrays! {
    SerializeSeq serialize_element,
    SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field,
}

/// The traits of compounds with named fields.
macro_rules! structs {
    ($($name:ident)*) => {$(
        impl ser::$name for Compound<'_> {
            type Ok = ();
            type Error = Unencodable;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), Unencodable> {
                self.field(name, value)
            }

            fn end(self) -> Result<(), Unencodable> {
                self.close()
            }
        }
    )*};
}

structs!(SerializeStruct SerializeStructVariant);

impl ser::SerializeMap for Compound<'_> {
    type Ok = ();
    type Error = Unencodable;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Unencodable> {
        key.serialize(&mut *self.writer)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unencodable> {
        self.item(value)
    }

    fn end(self) -> Result<(), Unencodable> {
        self.close()
    }
}
