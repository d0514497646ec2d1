mod hostile;
mod random;

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::ser::Error;
use serde::{Deserialize, Serialize};

use super::format::FORMAT;
use super::{Undecodable, Unencodable};

/// The encoding without its depth.
fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, Unencodable> {
    super::encode(value).map(|(bytes, _)| bytes)
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    super::decode(bytes).ok()
}

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

#[test]
fn values_round_trip() {
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
fn every_shape_round_trips() {
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
        skipped: Option<u8>,
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
        skipped: None,
        price: Price {
            amount: u64::MAX,
            currency: String::new(),
        },
    };
    assert_eq!(decode(&encode(&value()).unwrap()), Some(value()));
    assert_eq!(decode(&encode(&inner).unwrap()), Some(inner));
}

#[test]
fn a_field_added_later_gets_its_default() {
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
fn a_failing_serialize_is_reported() {
    struct Refuses;
    impl Serialize for Refuses {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(S::Error::custom("no"))
        }
    }
    assert!(encode(&Refuses).is_err());
}

#[test]
fn an_undecodable_value_has_a_reason_without_its_text() {
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only the error is looked at")]
    struct Strict {
        amount: u8,
    }
    #[derive(Debug, Deserialize)]
    enum Choice {
        One,
    }
    fn reason<T: DeserializeOwned + std::fmt::Debug>(value: &impl Serialize) -> Undecodable {
        super::decode::<T>(&encode(value).unwrap()).unwrap_err()
    }
    let map = |fields: &[(&'static str, u32)]| BTreeMap::from_iter(fields.iter().copied());
    assert_eq!(reason::<Strict>(&map(&[])), Undecodable::MissingField("amount"));
    assert_eq!(
        reason::<Strict>(&map(&[("amount", 1), ("secret", 2)])),
        Undecodable::UnknownField
    );
    assert_eq!(
        reason::<Strict>(&map(&[("amount", 256)])),
        Undecodable::OtherValue
    );
    assert_eq!(reason::<Strict>(&["secret"]), Undecodable::OtherType);
    assert_eq!(reason::<Choice>(&"secret"), Undecodable::UnknownVariant);
    assert_eq!(reason::<(u8, u8)>(&[1, 2, 3]), Undecodable::OtherLength);
    assert_eq!(reason::<[u8; 3]>(&[1, 2]), Undecodable::OtherLength);
    assert_eq!(reason::<Box<Choice>>(&()), Undecodable::OtherType);
    assert_eq!(
        reason::<std::net::IpAddr>(&Choice2::V4([1, 2])),
        Undecodable::OtherLength
    );
    let bytes = encode(&"secret").unwrap();
    let failed = |bytes: &[u8]| super::decode::<String>(bytes).unwrap_err();
    assert_eq!(failed(&bytes[1..]), Undecodable::OtherFormat);
    assert_eq!(failed(&bytes[..4]), Undecodable::TooShort);
    assert_eq!(failed(&[&*bytes, b"x"].concat()), Undecodable::TooLong);
    assert_eq!(failed(&[FORMAT, 0xa1, 0xff]), Undecodable::Damaged);
    let twice = [&[FORMAT, 0x82][..], b"\xa6amount\x01", b"\xa6amount\x01"].concat();
    assert_eq!(
        super::decode::<Strict>(&twice).unwrap_err(),
        Undecodable::DuplicateField("amount")
    );
    assert_eq!(
        Undecodable::MissingField("amount").to_string(),
        "the field `amount` is missing"
    );
}

#[derive(Serialize)]
enum Choice2 {
    V4([u8; 2]),
}

/// Lists in lists, maps in maps, variants in variants or `Some` in `Some`.
#[test]
fn a_value_that_is_nested_too_deep_is_not_stored() {
    #[derive(Default, Serialize, Deserialize)]
    struct Lists(Vec<Lists>);
    #[derive(Default, Serialize, Deserialize)]
    struct Structs {
        inner: Option<Box<Structs>>,
    }
    #[derive(Default, Serialize, Deserialize)]
    enum Variants {
        Struct {
            inner: Box<Variants>,
        },
        Newtype(Box<Variants>),
        #[default]
        End,
    }
    #[derive(Default, Serialize, Deserialize)]
    struct Somes(Option<Box<Somes>>);

    /// Asserts that values of up to `max` levels are stored, and no deeper one.
    fn assert_max<T: Default + Serialize + DeserializeOwned>(max: usize, around: fn(T) -> T) {
        let mut value = T::default();
        for level in 1..2 * max + 60 {
            let encoded = super::encode_decodable(&value);
            match level <= max {
                true => assert!(encoded.is_ok(), "{level} of {max} levels"),
                false => assert_eq!(
                    encoded.unwrap_err(),
                    Unencodable::Undecodable(Undecodable::TooDeep),
                    "{level} of {max} levels"
                ),
            }
            value = around(value);
        }
    }
    assert_max::<Lists>(128, |inner| Lists(vec![inner]));
    assert_max::<Structs>(128, |inner| Structs {
        inner: Some(inner.into()),
    });
    // The decoder counts an enum and the struct in it.
    assert_max::<Variants>(64, |inner| Variants::Struct { inner: inner.into() });
    assert_max::<Variants>(128, |inner| Variants::Newtype(inner.into()));
    assert_max::<Somes>(128, |inner| Somes(Some(inner.into())));
}

#[test]
fn a_field_removed_later_is_skipped() {
    #[derive(Serialize)]
    struct Rich {
        removed: (Option<Option<u8>>, Vec<BTreeMap<u8, &'static str>>),
        amount: u64,
        also_removed: Option<()>,
    }
    let bytes = encode(&Rich {
        removed: (Some(None), vec![BTreeMap::from([(1, "one")]), BTreeMap::new()]),
        amount: 7,
        also_removed: Some(()),
    });
    let currency = String::new();
    assert_eq!(decode(&bytes.unwrap()), Some(Price { amount: 7, currency }));
}

#[test]
fn only_a_nil_inside_a_some_takes_extra_bytes() {
    assert_eq!(encode(&None::<u8>).unwrap(), [FORMAT, 0xc0]);
    assert_eq!(encode(&Some(7_u8)).unwrap(), [FORMAT, 7]);
    assert_eq!(encode(&Some(Some(7_u8))).unwrap(), [FORMAT, 7]);
    assert_eq!(encode(&None::<Option<u8>>).unwrap(), [FORMAT, 0xc0]);
    assert_eq!(encode(&Some(None::<u8>)).unwrap(), [FORMAT, 0xd4, 0, 1]);
    assert_eq!(encode(&Some(Some(()))).unwrap(), [FORMAT, 0xd4, 0, 2]);
}

#[test]
fn nested_nils_are_distinct() {
    type Nested = Option<Option<Option<()>>>;
    let all: [Nested; 4] = [None, Some(None), Some(Some(None)), Some(Some(Some(())))];
    for nested in all {
        assert_eq!(decode(&encode(&nested).unwrap()), Some(nested));
    }
    assert_eq!(decode(&encode(&all).unwrap()), Some(all));
    let many = vec![None::<u8>; 1000];
    assert_eq!(decode(&encode(&many).unwrap()), Some(many));
}

#[test]
fn a_wrong_announced_length_is_corrected() {
    struct Announced(Option<usize>, u16);
    impl Serialize for Announced {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            use serde::ser::SerializeSeq;
            let mut seq = serializer.serialize_seq(self.0)?;
            for item in 0..self.1 {
                seq.serialize_element(&item)?;
            }
            seq.end()
        }
    }
    for written in [0, 1, 15, 16, 1000] {
        let right = (0..written).collect::<Vec<_>>();
        for announced in [None, Some(0), Some(3), Some(16), Some(70_000)] {
            assert_eq!(
                encode(&Announced(announced, written)).unwrap(),
                encode(&right).unwrap(),
                "{announced:?} {written}"
            );
        }
    }
}

#[test]
fn bytes_are_decoded_as_a_sequence_of_numbers() {
    struct Bytes(&'static [u8]);
    impl Serialize for Bytes {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(self.0)
        }
    }
    let bytes = encode(&(Bytes(&[0xc0, 0xd4, 0x81]), 5)).unwrap();
    assert_eq!(decode(&bytes), Some((vec![0xc0_u8, 0xd4, 0x81], 5)));
    assert_eq!(decode(&bytes), Some(([Some(0xc0_u8), Some(0xd4), Some(0x81)], 5)));
}

#[test]
fn an_extension_of_rmpv_is_an_error() {
    #[derive(Serialize)]
    #[serde(rename = "_ExtStruct")]
    struct Extension((i8, [u8; 1]));
    assert!(encode(&Extension((1, [2]))).is_err());
}

#[test]
fn the_fixtures_of_the_page_are_encoded_values() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Stock {
        Sold,
        Left { pieces: u16 },
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Offer {
        amount: u64,
        note: Option<Option<String>>,
        stock: Stock,
    }
    const PAGE: &str = include_str!("../../../docs/wire-format.md");
    let block = PAGE
        .split("```values\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    let left = Offer {
        amount: 300,
        note: Some(None),
        stock: Stock::Left { pieces: 7 },
    };
    let sold = Offer {
        amount: 7,
        note: Some(Some("x".into())),
        stock: Stock::Sold,
    };
    let lines = [("left", left), ("sold", sold)].map(|(title, offer)| {
        let bytes = encode(&offer).unwrap();
        assert_eq!(decode(&bytes), Some(offer));
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{title:<15}  {hex}\n")
    });
    assert_eq!(Some(lines.concat().as_str()), block);
}

/// A number as a self-describing type reads it, for example `bson::Bson`.
#[derive(Debug, PartialEq)]
enum Number {
    Signed(i64),
    Unsigned(u64),
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Number;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number")
            }

            fn visit_i64<E>(self, number: i64) -> Result<Number, E> {
                Ok(Number::Signed(number))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Number, E> {
                Ok(Number::Unsigned(number))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[test]
fn an_integer_is_read_back_as_signed_or_unsigned_as_it_was_written() {
    let lengths = [
        (0, 2),
        (127, 2),
        (128, 3),
        (32_767, 3),
        (32_768, 5),
        (i64::from(i32::MAX), 5),
    ];
    let large = [
        (i64::from(i32::MAX) + 1, 9),
        (i64::MAX, 9),
        (-1, 1),
        (-32, 1),
        (-33, 2),
        (i64::MIN, 9),
    ];
    for (number, length) in lengths.into_iter().chain(large) {
        let bytes = encode(&number).unwrap();
        assert_eq!(bytes.len(), 1 + length, "{number}");
        assert_eq!(decode(&bytes), Some(Number::Signed(number)));
        assert_eq!(decode(&bytes), Some(number));
        if let Ok(number) = u64::try_from(number) {
            let bytes = encode(&number).unwrap();
            assert_eq!(decode(&bytes), Some(Number::Unsigned(number)));
        }
    }
    assert_eq!(decode(&encode(&1_i8).unwrap()), Some(Number::Signed(1)));
    // Values of earlier versions, and of other programs.
    assert_eq!(decode::<i64>(&encode(&7_u64).unwrap()), Some(7));
    assert_eq!(decode::<u8>(&encode(&7_i64).unwrap()), Some(7));
}

#[test]
fn a_json_number_of_any_precision_is_stored_as_its_number() {
    #[derive(Serialize)]
    #[serde(rename = "$serde_json::private::Number")]
    struct Number {
        #[serde(rename = "$serde_json::private::Number")]
        text: &'static str,
    }
    let bytes = |text| encode(&(Number { text }, text)).unwrap();
    assert_eq!(bytes("7"), encode(&(7_u64, "7")).unwrap());
    assert_eq!(bytes("-7"), encode(&(-7_i64, "-7")).unwrap());
    assert_eq!(bytes("0.5"), encode(&(0.5, "0.5")).unwrap());
    let precise = "0.10000000000000000001";
    let text = BTreeMap::from([("$serde_json::private::Number", precise)]);
    assert_eq!(bytes(precise), encode(&(text, precise)).unwrap());
}
