//! The decoded types. They cover every kind of serde's data model.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

/// The different encodings of an absent value.
type Nested = Option<Option<Option<()>>>;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Shape {
    Unit,
    Nested(Nested),
    Text(Option<String>),
    Sequence(Vec<u8>),
    Many(Vec<Option<Shape>>),
    Keys(BTreeMap<Key, Option<Option<bool>>>),
    Tuple(Box<Shape>, [i16; 2], (char, i8), u128),
    Struct {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        left_out: Nested,
        of: Option<Box<Shape>>,
    },
    Untagged(Untagged),
    Internal(Internal),
    Adjacent(Option<Adjacent>),
    Flat(Box<Flat>),
    Float(Bits),
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Key {
    Unit,
    Newtype(Option<Option<u8>>),
    Struct { wide: i128, of: Option<Box<Key>> },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Untagged {
    Number(u64),
    Text(String),
    Pair(Nested, ()),
    Struct { nested: Nested, of: Box<Shape> },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
pub(crate) enum Internal {
    Unit,
    Struct { nested: Nested, of: Option<Box<Shape>> },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "of")]
pub(crate) enum Adjacent {
    Unit,
    Newtype(Nested),
    Struct { nested: Nested, of: Option<Box<Shape>> },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Flat {
    own: Nested,
    #[serde(flatten)]
    inner: Inner,
    #[serde(flatten)]
    rest: BTreeMap<String, Option<Option<u8>>>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Inner {
    nested: Nested,
    number: i64,
}

/// A float that is compared by its bits, so that a NaN equals itself.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Bits(f64);

impl PartialEq for Bits {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

/// Any value. Decoding it counts the nesting depth.
pub(crate) struct Level;

/// Limit of nested compounds, plus the limit of `Some` around a nil, plus the value itself.
const MAX_LEVELS: usize = 128 + 128 + 1;

thread_local! {
    static LEVELS: Cell<usize> = const { Cell::new(0) };
}

impl<'de> Deserialize<'de> for Level {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        LEVELS.set(LEVELS.get() + 1);
        assert!(LEVELS.get() <= MAX_LEVELS);
        let level = deserializer.deserialize_any(Level);
        LEVELS.set(LEVELS.get() - 1);
        level
    }
}

impl<'de> Visitor<'de> for Level {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize(deserializer)
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self, A::Error> {
        while seq.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        while map.next_entry::<IgnoredAny, Self>()?.is_some() {}
        Ok(self)
    }
}
