//! The digest of a single text or byte string: what py-dspinlock hashes.

use std::fmt::{self, Display, Write};

use serde::Serialize;
use serde::ser::{self, Impossible, Serializer};
use sha2::{Digest as _, Sha256};

use super::canonical::{self, Refused, Sink};

type Digest = [u8; 32];

/// The digest of a text or byte string, `None` for everything else.
///
/// A sequence of nothing but `u8`, the empty one included, is a byte string too: serde shows `&[u8]` and `Vec<u8>` so.
pub(super) fn digest<T: Serialize + ?Sized>(value: &T) -> Option<Digest> {
    value.serialize(Plain).ok()
}

struct Plain;

macro_rules! refuse {
    ($($method:ident($($type:ty),*);)*) => { $(fn $method(self, $(_: $type),*) -> Result<Digest, Refused> { Err(Refused) })* };
}

impl Serializer for Plain {
    type Ok = Digest;
    type Error = Refused;
    type SerializeSeq = OnlyBytes;
    type SerializeTuple = OnlyBytes;
    type SerializeTupleStruct = Impossible<Digest, Refused>;
    type SerializeTupleVariant = Impossible<Digest, Refused>;
    type SerializeMap = Impossible<Digest, Refused>;
    type SerializeStruct = Impossible<Digest, Refused>;
    type SerializeStructVariant = Impossible<Digest, Refused>;

    refuse! {
        serialize_bool(bool); serialize_char(char);
        serialize_i8(i8); serialize_i16(i16); serialize_i32(i32); serialize_i64(i64); serialize_i128(i128);
        serialize_u8(u8); serialize_u16(u16); serialize_u32(u32); serialize_u64(u64); serialize_u128(u128);
        serialize_f32(f32); serialize_f64(f64); serialize_none(); serialize_unit();
        serialize_unit_struct(&'static str); serialize_unit_variant(&'static str, u32, &'static str);
    }

    fn serialize_str(self, v: &str) -> Result<Digest, Refused> {
        Ok(Sha256::digest(v).into())
    }

    fn serialize_bytes(self, v: &[u8]) -> Result<Digest, Refused> {
        Ok(Sha256::digest(v).into())
    }

    fn collect_str<T: Display + ?Sized>(self, v: &T) -> Result<Digest, Refused> {
        let mut hash = Hashed(Sha256::new());
        write!(hash, "{v}").map_err(|_| Refused)?;
        Ok(hash.0.finalize().into())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        v: &T,
    ) -> Result<Digest, Refused> {
        v.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<OnlyBytes, Refused> {
        Ok(OnlyBytes(Sha256::new()))
    }

    fn serialize_tuple(self, _: usize) -> Result<OnlyBytes, Refused> {
        Ok(OnlyBytes(Sha256::new()))
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<Digest, Refused> {
        Err(Refused)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<Digest, Refused> {
        Err(Refused)
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleStruct, Refused> {
        Err(Refused)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Refused> {
        Err(Refused)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Refused> {
        Err(Refused)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeStruct, Refused> {
        Err(Refused)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Refused> {
        Err(Refused)
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// A text that comes in pieces.
struct Hashed(Sha256);

impl Write for Hashed {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text);
        Ok(())
    }
}

/// A sequence, as long as it holds nothing but `u8`.
struct OnlyBytes(Sha256);

impl OnlyBytes {
    fn push<T: Serialize + ?Sized>(&mut self, v: &T) -> Result<(), Refused> {
        let mut item = [0; 2];
        let mut sink = Two {
            item: &mut item,
            len: 0,
        };
        canonical::feed(v, &mut sink)?;
        if sink.len != 2 || item[0] != canonical::U8 {
            return Err(Refused);
        }
        self.0.update([item[1]]);
        Ok(())
    }
}

/// The canonical form of a `u8` is two bytes; of whatever is longer only the length is of interest.
struct Two<'a> {
    item: &'a mut [u8; 2],
    len: usize,
}

impl Sink for Two<'_> {
    fn put(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if let Some(place) = self.item.get_mut(self.len) {
                *place = *byte;
            }
            self.len += 1;
        }
    }
}

impl ser::SerializeSeq for OnlyBytes {
    type Ok = Digest;
    type Error = Refused;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, v: &T) -> Result<(), Refused> {
        self.push(v)
    }

    fn end(self) -> Result<Digest, Refused> {
        Ok(self.0.finalize().into())
    }
}

impl ser::SerializeTuple for OnlyBytes {
    type Ok = Digest;
    type Error = Refused;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, v: &T) -> Result<(), Refused> {
        self.push(v)
    }

    fn end(self) -> Result<Digest, Refused> {
        Ok(self.0.finalize().into())
    }
}
