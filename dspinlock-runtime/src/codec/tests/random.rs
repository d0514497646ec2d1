//! Random values of every shape in serde's data model round-trip.

use std::collections::BTreeMap;
use std::fmt;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{decode, encode};

/// Every depth of nested nils.
type Nested = Option<Option<Option<()>>>;

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Unit;

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Wrapped(Option<()>);

/// Floats that are compared by their bits, so that a NaN equals itself.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Floats(f32, f64);

impl PartialEq for Floats {
    fn eq(&self, other: &Self) -> bool {
        (self.0.to_bits(), self.1.to_bits()) == (other.0.to_bits(), other.1.to_bits())
    }
}

#[derive(Debug, PartialEq, Clone)]
struct Bytes(Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BytesVisitor;
        impl Visitor<'_> for BytesVisitor {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
        }
        deserializer.deserialize_byte_buf(BytesVisitor)
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone, Serialize, Deserialize)]
enum Key {
    Unit,
    Newtype(Option<Option<u8>>),
    Tuple(char, Wrapped),
    Struct { unit: Option<Unit>, wide: i128 },
}

#[derive(Debug, PartialEq, Clone, Serialize, Deserialize)]
pub(super) struct Inner {
    nested: Nested,
    wrapped: Option<Wrapped>,
    unit: Option<Unit>,
    nothing: (),
    floats: Floats,
    bytes: Option<Bytes>,
    letter: Option<char>,
    number: i64,
}

#[derive(Debug, PartialEq, Clone, Serialize, Deserialize)]
pub(super) struct Flat {
    own: Nested,
    #[serde(flatten)]
    inner: Inner,
    #[serde(flatten)]
    maybe: Option<Extra>,
    #[serde(flatten)]
    rest: BTreeMap<String, Option<Option<u8>>>,
}

#[derive(Debug, PartialEq, Clone, Serialize, Deserialize)]
struct Extra {
    extra: Nested,
    required: u8,
}

#[derive(Debug, PartialEq, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Untagged {
    Number(u64),
    Text(String),
    Pair(Nested, Unit),
    Struct { nested: Nested, of: Box<Shape> },
}

#[derive(Debug, PartialEq, Clone, Serialize, Deserialize)]
#[serde(tag = "kind")]
pub(super) enum Internal {
    Unit,
    Newtype(Inner),
    Struct { nested: Nested, of: Option<Box<Shape>> },
}

#[derive(Debug, PartialEq, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", content = "of")]
pub(super) enum Adjacent {
    Unit,
    Newtype(Nested),
    Tuple(Nested, Unit),
    Struct { nested: Nested, wrapped: Wrapped },
}

#[derive(Debug, PartialEq, Clone, Serialize, Deserialize)]
pub(super) enum Shape {
    Unit,
    Nothing(()),
    Nested(Nested),
    Maybe(Option<Option<Box<Shape>>>),
    Many(Vec<Option<Shape>>),
    Map(BTreeMap<String, Option<Shape>>),
    Tuple(Box<Shape>, Option<Unit>, Wrapped),
    Struct {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        skipped: Nested,
        of: Option<Box<Shape>>,
    },
    Untagged(Option<Untagged>),
    Internal(Internal),
    Adjacent(Option<Adjacent>),
    Flat(Box<Flat>),
}

#[derive(Debug, PartialEq, Clone, Serialize, Deserialize)]
pub(super) struct Whole {
    shapes: Vec<Shape>,
    keys: BTreeMap<Key, Nested>,
    tuples: BTreeMap<(u8, Option<Option<bool>>), Wrapped>,
    numbers: BTreeMap<i32, Option<()>>,
    wide: (i128, u128, Option<Option<u128>>),
    small: (u8, i8, u16, i16, u32, u64),
    array: [Option<Option<u8>>; 3],
    result: Result<Nested, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    skipped: Option<Option<u8>>,
    #[serde(default)]
    last: Nested,
}

fn text() -> BoxedStrategy<String> {
    vec(any::<char>(), 0..40).prop_map(String::from_iter).boxed()
}

fn floats() -> BoxedStrategy<Floats> {
    (any::<u32>(), any::<u64>(), any::<(f32, f64)>(), 0..4_u8)
        .prop_map(|(single, double, plain, which)| match which {
            0 => Floats(f32::NAN, -f64::NAN),
            1 => Floats(plain.0, plain.1),
            _ => Floats(f32::from_bits(single), f64::from_bits(double)),
        })
        .boxed()
}

fn inner() -> BoxedStrategy<Inner> {
    let bytes = proptest::option::of(vec(any::<u8>(), 0..300).prop_map(Bytes));
    let options = any::<(Nested, Option<Option<()>>, bool, Option<char>, i64)>();
    (options, floats(), bytes)
        .prop_map(|((nested, wrapped, unit, letter, number), floats, bytes)| Inner {
            nested,
            wrapped: wrapped.map(Wrapped),
            unit: unit.then_some(Unit),
            nothing: (),
            floats,
            bytes,
            letter,
            number,
        })
        .boxed()
}

fn flat() -> BoxedStrategy<Flat> {
    let maybe = proptest::option::of(any::<(Nested, u8)>());
    // Longer than the names of the fields, so that no entry looks like a field.
    let rest = btree_map(
        vec(any::<char>(), 9..20).prop_map(String::from_iter),
        any::<Option<Option<u8>>>(),
        0..20,
    );
    (any::<Nested>(), inner(), maybe, rest)
        .prop_map(|(own, inner, maybe, rest)| Flat {
            own,
            inner,
            maybe: maybe.map(|(extra, required)| Extra { extra, required }),
            rest,
        })
        .boxed()
}

fn adjacent() -> BoxedStrategy<Adjacent> {
    prop_oneof![
        Just(Adjacent::Unit),
        any::<Nested>().prop_map(Adjacent::Newtype),
        any::<Nested>().prop_map(|nested| Adjacent::Tuple(nested, Unit)),
        any::<(Nested, Option<()>)>().prop_map(|(nested, inner)| Adjacent::Struct {
            nested,
            wrapped: Wrapped(inner)
        }),
    ]
    .boxed()
}

fn internal(shape: BoxedStrategy<Shape>) -> BoxedStrategy<Internal> {
    prop_oneof![
        Just(Internal::Unit),
        inner().prop_map(Internal::Newtype),
        (any::<Nested>(), proptest::option::of(shape)).prop_map(|(nested, of)| Internal::Struct {
            nested,
            of: of.map(Box::new)
        }),
    ]
    .boxed()
}

fn untagged(shape: BoxedStrategy<Shape>) -> BoxedStrategy<Untagged> {
    prop_oneof![
        any::<u64>().prop_map(Untagged::Number),
        text().prop_map(Untagged::Text),
        any::<Nested>().prop_map(|nested| Untagged::Pair(nested, Unit)),
        (any::<Nested>(), shape).prop_map(|(nested, of)| Untagged::Struct {
            nested,
            of: Box::new(of)
        }),
    ]
    .boxed()
}

// Boxed, like all strategies of this file: in debug builds nested strategies overflow the stack of a test.
fn shape() -> BoxedStrategy<Shape> {
    let leaf = prop_oneof![
        Just(Shape::Unit),
        Just(Shape::Nothing(())),
        any::<Nested>().prop_map(Shape::Nested),
        proptest::option::of(adjacent()).prop_map(Shape::Adjacent),
        flat().prop_map(|flat| Shape::Flat(Box::new(flat))),
    ];
    leaf.prop_recursive(5, 40, 5, |shape| {
        let shape = shape.boxed();
        let option = || proptest::option::of(shape.clone()).boxed();
        prop_oneof![
            proptest::option::of(option()).prop_map(|of| Shape::Maybe(of.map(|of| of.map(Box::new)))),
            vec(option(), 0..20).prop_map(Shape::Many),
            btree_map(text(), option(), 0..5).prop_map(Shape::Map),
            (shape.clone(), any::<bool>(), any::<Option<()>>()).prop_map(|(of, unit, inner)| Shape::Tuple(
                Box::new(of),
                unit.then_some(Unit),
                Wrapped(inner)
            )),
            (any::<Nested>(), option()).prop_map(|(skipped, of)| Shape::Struct {
                skipped,
                of: of.map(Box::new)
            }),
            proptest::option::of(untagged(shape.clone())).prop_map(Shape::Untagged),
            internal(shape.clone()).prop_map(Shape::Internal),
        ]
    })
    .boxed()
}

fn key() -> BoxedStrategy<Key> {
    prop_oneof![
        Just(Key::Unit),
        any::<Option<Option<u8>>>().prop_map(Key::Newtype),
        any::<(char, Option<()>)>().prop_map(|(letter, inner)| Key::Tuple(letter, Wrapped(inner))),
        any::<(bool, i128)>().prop_map(|(unit, wide)| Key::Struct {
            unit: unit.then_some(Unit),
            wide
        }),
    ]
    .boxed()
}

/// A value with fields of every shape.
pub(super) fn whole() -> impl Strategy<Value = Whole> {
    let tuples = btree_map(
        any::<(u8, Option<Option<bool>>)>(),
        any::<Option<()>>().prop_map(Wrapped),
        0..5,
    );
    (
        vec(shape(), 0..4),
        btree_map(key(), any::<Nested>(), 0..5),
        tuples,
        btree_map(any::<i32>(), any::<Option<()>>(), 0..20),
        any::<(i128, u128, Option<Option<u128>>)>(),
        any::<(u8, i8, u16, i16, u32, u64)>(),
        any::<[Option<Option<u8>>; 3]>(),
        prop_oneof![any::<Nested>().prop_map(Ok), text().prop_map(Err)],
        any::<(Option<Option<u8>>, Nested)>(),
    )
        .prop_map(
            |(shapes, keys, tuples, numbers, wide, small, array, result, (skipped, last))| Whole {
                shapes,
                keys,
                tuples,
                numbers,
                wide,
                small,
                array,
                result,
                skipped,
                last,
            },
        )
}

proptest! {
    #[test]
    fn every_value_round_trips(whole in whole()) {
        let bytes = encode(&whole).unwrap();
        prop_assert_eq!(decode::<Whole>(&bytes), Some(whole));
    }
}

#[test]
fn a_number_that_serde_cannot_buffer_is_a_miss() {
    /// serde buffers an untagged enum, and cannot buffer a 128-bit number.
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Buffered {
        Wide(u128),
    }
    assert_eq!(decode::<Buffered>(&encode(&Buffered::Wide(7)).unwrap()), None);
}

// If this test fails, serde has improved: remove the limit from the documentation of the codec.
#[test]
fn serde_loses_a_flattened_none_and_an_untagged_variant() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Optional {
        nested: Nested,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Around {
        #[serde(flatten)]
        inner: Option<Optional>,
    }
    let none = encode(&Around { inner: None }).unwrap();
    let inner = Some(Optional { nested: None });
    assert_eq!(decode(&none), Some(Around { inner }));

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Alike {
        First(Option<u8>),
        Second(()),
    }
    let second = encode(&Alike::Second(())).unwrap();
    assert_eq!(decode(&second), Some(Alike::First(None)));
}
