//! The decoder: serde's data model from MessagePack. `codec::decode` calls it. It never panics.

use std::cell::Cell;

use serde::de::{self, DeserializeSeed, Deserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::format::Undecodable;
use super::reader::{Head, Reader};

/// How many places the first item of a collection is charged: as many as the first node of a `BTreeMap` has.
const NODE: usize = 11;

impl<'de> Reader<'de> {
    /// Passes the values of an array to the visitor, which must consume all of them.
    fn items<V: Visitor<'de>>(
        &mut self,
        len: usize,
        bin: &'de [u8],
        first_places: usize,
        visitor: V,
    ) -> Result<V::Value, Undecodable> {
        self.enter()?;
        let mut items = Items {
            remaining: len,
            bin,
            places: Cell::new(first_places),
            reader: self,
        };
        let value = visitor.visit_seq(&mut items)?;
        if items.remaining > 0 {
            return Err(Undecodable::OtherLength);
        }
        self.leave();
        Ok(value)
    }

    /// Passes the pairs of a map to the visitor, which must consume all of them.
    fn pairs<V: Visitor<'de>>(
        &mut self,
        len: usize,
        first_places: usize,
        visitor: V,
    ) -> Result<V::Value, Undecodable> {
        self.enter()?;
        let mut items = Items {
            remaining: len,
            bin: &[],
            places: Cell::new(first_places),
            reader: self,
        };
        let value = visitor.visit_map(&mut items)?;
        if items.remaining > 0 {
            return Err(Undecodable::OtherLength);
        }
        self.leave();
        Ok(value)
    }

    /// Passes an array, or the bytes of a `Bin`, to the visitor.
    fn sequence<V: Visitor<'de>>(
        &mut self,
        first_places: usize,
        visitor: V,
    ) -> Result<V::Value, Undecodable> {
        self.charge_box(size_of::<V::Value>())?;
        match self.head()? {
            Head::Array(len) => self.items(len, &[], first_places, visitor),
            Head::Bin(data) => self.items(data.len(), data, first_places, visitor),
            _ => Err(Undecodable::OtherType),
        }
    }

    /// Passes a value that is not a compound to the visitor.
    fn scalar<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Undecodable> {
        self.charge_box(size_of::<V::Value>())?;
        match self.head()? {
            Head::Nil => visitor.visit_unit(),
            Head::Bool(value) => visitor.visit_bool(value),
            Head::Unsigned(number) => visitor.visit_u64(number),
            Head::Signed(number) => visitor.visit_i64(number),
            Head::F32(number) => visitor.visit_f32(number),
            Head::F64(number) => visitor.visit_f64(number),
            Head::Str(text) => visitor.visit_borrowed_str(text),
            Head::Bin(data) => visitor.visit_borrowed_bytes(data),
            Head::Some | Head::Array(_) | Head::Map(_) => Err(Undecodable::OtherType),
        }
    }

    /// The 16 bytes of a 128-bit number, for which MessagePack has no type.
    fn wide(&mut self) -> Result<[u8; 16], Undecodable> {
        match self.head()? {
            Head::Bin(data) => data.try_into().map_err(|_| Undecodable::OtherLength),
            _ => Err(Undecodable::OtherType),
        }
    }
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Undecodable;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Undecodable> {
        self.charge_box(size_of::<V::Value>())?;
        match self.head()? {
            Head::Nil => visitor.visit_unit(),
            Head::Some => visitor.visit_some(self),
            Head::Bool(value) => visitor.visit_bool(value),
            Head::Unsigned(number) => visitor.visit_u64(number),
            Head::Signed(number) => visitor.visit_i64(number),
            Head::F32(number) => visitor.visit_f32(number),
            Head::F64(number) => visitor.visit_f64(number),
            Head::Str(text) => visitor.visit_borrowed_str(text),
            Head::Bin(data) => visitor.visit_borrowed_bytes(data),
            Head::Array(len) => self.items(len, &[], NODE, visitor),
            Head::Map(len) => self.pairs(len, NODE, visitor),
        }
    }

    forward_to_deserialize_any! {
        str string char bytes byte_buf unit unit_struct map
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Undecodable> {
        self.scalar(visitor)
    }

    fn deserialize_i8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Undecodable> {
        self.scalar(visitor)
    }

    fn deserialize_i16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Undecodable> {
        self.scalar(visitor)
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Undecodable> {
        self.scalar(visitor)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Undecodable> {
        self.scalar(visitor)
    }

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Undecodable> {
        visitor.visit_i128(i128::from_be_bytes(self.wide()?))
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Undecodable> {
        self.scalar(visitor)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Undecodable> {
        self.scalar(visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Undecodable> {
        self.scalar(visitor)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Undecodable> {
        self.scalar(visitor)
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Undecodable> {
        visitor.visit_u128(u128::from_be_bytes(self.wide()?))
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Undecodable> {
        self.scalar(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Undecodable> {
        self.scalar(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Undecodable> {
        self.charge_box(size_of::<V::Value>())?;
        if self.is_some()? {
            visitor.visit_some(self)
        } else {
            visitor.visit_none()
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Undecodable> {
        self.charge_box(size_of::<V::Value>())?;
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Undecodable> {
        self.sequence(NODE, visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Undecodable> {
        self.sequence(1, visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Undecodable> {
        self.sequence(1, visitor)
    }

    // Not `deserialize_any`: the visitor of a struct is large user code, and the branch for sequences would compile it a
    // second time.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Undecodable> {
        self.charge_box(size_of::<V::Value>())?;
        match self.head()? {
            Head::Map(len) => self.pairs(len, 1, visitor),
            _ => Err(Undecodable::OtherType),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Undecodable> {
        self.charge_box(size_of::<V::Value>())?;
        self.enter()?;
        let has_content = self.is_pair();
        let value = visitor.visit_enum(Variant {
            reader: &mut *self,
            has_content,
        })?;
        self.leave();
        Ok(value)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Undecodable> {
        self.scalar(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Undecodable> {
        self.skip()?;
        visitor.visit_unit()
    }
}

/// The remaining items of an array, of a `Bin` that is read as an array, or of a map.
struct Items<'a, 'de> {
    reader: &'a mut Reader<'de>,
    remaining: usize,
    bin: &'de [u8],
    /// How many places the next item is charged. A visitor that asks for the number of items reserves no more.
    places: Cell<usize>,
}

impl Items<'_, '_> {
    fn size_hint(&self) -> Option<usize> {
        self.places.set(1);
        Some(self.remaining)
    }
}

impl<'de> de::SeqAccess<'de> for Items<'_, 'de> {
    type Error = Undecodable;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Undecodable> {
        if self.remaining == 0 {
            return Ok(None);
        }
        self.remaining -= 1;
        if let Some((&byte, rest)) = self.bin.split_first() {
            self.bin = rest;
            self.reader.begin_byte(byte);
        } else {
            self.reader.begin();
        }
        self.reader
            .charge_places(self.places.replace(1), size_of::<T::Value>())?;
        seed.deserialize(&mut *self.reader).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        self.size_hint()
    }
}

impl<'de> de::MapAccess<'de> for Items<'_, 'de> {
    type Error = Undecodable;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Undecodable> {
        if self.remaining == 0 {
            return Ok(None);
        }
        self.remaining -= 1;
        self.reader.begin();
        self.reader
            .charge_places(self.places.get(), size_of::<K::Value>())?;
        seed.deserialize(&mut *self.reader).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Undecodable> {
        self.reader.begin();
        self.reader
            .charge_places(self.places.replace(1), size_of::<V::Value>())?;
        seed.deserialize(&mut *self.reader)
    }

    fn size_hint(&self) -> Option<usize> {
        self.size_hint()
    }
}

/// The name of a variant, and its content if it has any.
struct Variant<'a, 'de> {
    reader: &'a mut Reader<'de>,
    has_content: bool,
}

impl<'a, 'de> Variant<'a, 'de> {
    fn content(self) -> Result<&'a mut Reader<'de>, Undecodable> {
        if !self.has_content {
            return Err(Undecodable::OtherType);
        }
        self.reader.begin();
        Ok(self.reader)
    }
}

impl<'de> de::EnumAccess<'de> for Variant<'_, 'de> {
    type Error = Undecodable;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Undecodable> {
        Ok((seed.deserialize(&mut *self.reader)?, self))
    }
}

impl<'de> de::VariantAccess<'de> for Variant<'_, 'de> {
    type Error = Undecodable;

    fn unit_variant(self) -> Result<(), Undecodable> {
        if self.has_content {
            Err(Undecodable::OtherType)
        } else {
            Ok(())
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Undecodable> {
        seed.deserialize(self.content()?)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Undecodable> {
        self.content()?.deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Undecodable> {
        self.content()?.deserialize_struct("", fields, visitor)
    }
}
