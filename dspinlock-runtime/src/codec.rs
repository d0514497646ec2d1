//! The bytes of a kept value: MessagePack with field names, behind one byte that says so.
//!
//! MessagePack has one nil, which a `None`, a `()` and a `Some` of either would share. So a `Some` whose value is a nil
//! is an extension that counts the `Some` around it; every other `Some` is its value alone. `rmp-serde` does not tell
//! them apart, which is why the way from serde to `rmp` is our own.
//!
//! What serde's derive loses before it gets here stays lost: a flattened `Option` of a struct that any map would do for
//! comes back as `Some`, and an untagged enum as the first variant that fits.

mod head;
mod read;
mod write;

use serde::Serialize;
use serde::de::DeserializeOwned;

use head::Reader;
use write::Writer;

/// The first byte of every encoded value; a value that begins otherwise was written by a version we do not know.
const FORMAT: u8 = 2;

/// How deep a stored value may nest: bytes from a store must not be able to exhaust the stack.
const MAX_DEPTH: usize = 128;

/// What `None` and `()` are.
const NIL: u8 = 0xc0;

/// The beginning of an extension of one byte (`fixext 1`, our type 0): how many `Some` are around a nil.
const NESTED_NIL: [u8; 2] = [0xd4, 0];

/// A value's `Serialize` implementation failed.
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
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde::ser::Error;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Price {
        amount: u64,
        #[serde(default)]
        currency: String,
    }

    #[derive(Serialize)]
    struct OldPrice {
        amount: u64,
    }

    #[derive(Debug, Serialize, Deserialize)]
    struct Nest(Vec<Nest>);

    fn nest(depth: usize) -> Nest {
        (0..depth).fold(Nest(Vec::new()), |inner, _| Nest(vec![inner]))
    }

    #[test]
    fn values_come_back() {
        let price = Price {
            amount: 7,
            currency: "EUR".into(),
        };
        assert_eq!(decode::<Price>(&encode(&price).unwrap()), Some(price));
        assert_eq!(decode::<()>(&encode(&()).unwrap()), Some(()));
        assert_eq!(decode::<Option<u8>>(&encode(&None::<u8>).unwrap()), Some(None));
        let text = "\0".repeat(1 << 20);
        assert_eq!(decode::<String>(&encode(&text).unwrap()), Some(text));
    }

    #[test]
    fn every_shape_comes_back() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        enum Shape {
            Unit,
            Tuple(i64, f64),
            Struct {
                map: BTreeMap<u32, (char, u128)>,
                inner: Option<Box<Shape>>,
            },
        }
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        #[serde(untagged)]
        enum Untagged {
            Number(u8),
            Text(String),
        }
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Whole {
            shapes: Vec<Shape>,
            untagged: [Untagged; 2],
            #[serde(skip_serializing_if = "Option::is_none", default)]
            left_out: Option<u8>,
            #[serde(flatten)]
            price: Price,
        }
        let inner = Some(Box::new(Shape::Tuple(i64::MIN, f64::INFINITY)));
        let map = BTreeMap::from([(7, ('\u{1F980}', u128::MAX))]);
        let value = || Whole {
            shapes: vec![
                Shape::Unit,
                Shape::Struct {
                    map: map.clone(),
                    inner: None,
                },
            ],
            untagged: [Untagged::Number(7), Untagged::Text("seven".into())],
            left_out: None,
            price: Price {
                amount: u64::MAX,
                currency: String::new(),
            },
        };
        assert_eq!(decode(&encode(&value()).unwrap()), Some(value()));
        assert_eq!(decode(&encode(&inner).unwrap()), Some(inner));
    }

    #[test]
    fn a_field_added_later_is_filled_in() {
        let bytes = encode(&OldPrice { amount: 7 }).unwrap();
        assert_eq!(
            decode::<Price>(&bytes),
            Some(Price {
                amount: 7,
                currency: String::new()
            })
        );
    }

    #[test]
    fn bytes_that_are_not_one_whole_value_are_a_miss() {
        let whole = encode(&"four").unwrap();
        for end in 0..whole.len() {
            assert_eq!(decode::<String>(&whole[..end]), None, "{end}");
        }
        let mut longer = whole.clone();
        longer.push(0);
        assert_eq!(decode::<String>(&longer), None);
        assert_eq!(decode::<u8>(&whole), None);
        let mut newer = whole;
        newer[0] += 1;
        assert_eq!(decode::<String>(&newer), None);
        // An array that claims four thousand million elements.
        assert_eq!(decode::<Vec<u64>>(&[FORMAT, 0xdd, 0xff, 0xff, 0xff, 0xff]), None);
    }

    #[test]
    fn deep_values_are_a_miss_and_not_an_overflow() {
        assert!(decode::<Nest>(&encode(&nest(100)).unwrap()).is_some());
        assert!(decode::<Nest>(&encode(&nest(200)).unwrap()).is_none());
        let mut bytes = vec![FORMAT];
        bytes.extend(std::iter::repeat_n(0x91, 1 << 20));
        assert!(decode::<Nest>(&bytes).is_none());
    }

    #[test]
    fn a_failing_serialize_is_reported() {
        struct Refuses;
        impl Serialize for Refuses {
            fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
                Err(S::Error::custom("no"))
            }
        }
        assert!(encode(&Refuses).is_err());
    }
}
