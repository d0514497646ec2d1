//! Bytes that the encoder did not write are a miss, and take bounded stack and memory.

use std::collections::{BTreeMap, BTreeSet, HashMap, LinkedList, VecDeque};

use proptest::collection::vec;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::super::encode_decodable;
use super::super::format::{FORMAT, budget};
use super::random::{Shape, Whole};
use super::{decode, encode};

#[derive(Debug, Serialize, Deserialize)]
struct Nest(Vec<Nest>);

fn nest(depth: usize) -> Nest {
    (0..depth).fold(Nest(Vec::new()), |inner, _| Nest(vec![inner]))
}

#[test]
fn bytes_that_are_not_exactly_one_value_are_a_miss() {
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
    // An array that announces 2^32 - 1 elements.
    assert_eq!(decode::<Vec<u64>>(&[FORMAT, 0xdd, 0xff, 0xff, 0xff, 0xff]), None);
}

#[test]
fn values_that_nest_too_deep_are_a_miss() {
    assert!(decode::<Nest>(&encode(&nest(100)).unwrap()).is_some());
    assert!(decode::<Nest>(&encode(&nest(200)).unwrap()).is_none());
    let mut bytes = vec![FORMAT];
    bytes.extend(std::iter::repeat_n(0x91, 1 << 20));
    assert!(decode::<Nest>(&bytes).is_none());
}

/// The format byte, then `bytes` repeated up to 1 MiB.
fn repeated(bytes: &[u8]) -> Vec<u8> {
    let mut all = vec![FORMAT];
    all.extend(bytes.iter().cycle().take(1 << 20));
    all
}

#[test]
fn nesting_never_overflows_the_stack() {
    /// An `Option` of itself: its `Some` takes no bytes.
    #[derive(Debug, Serialize, Deserialize)]
    struct Chain(Option<Box<Chain>>);
    #[derive(Debug, Serialize, Deserialize)]
    enum Variants {
        A(Box<Variants>),
        B { b: Option<Box<Variants>> },
        C,
    }
    #[derive(Debug, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Untagged {
        Number(u8),
        Seq(Vec<Untagged>),
        Map { m: Option<Box<Untagged>> },
    }
    #[derive(Debug, Serialize, Deserialize)]
    #[serde(tag = "t")]
    enum Tagged {
        A {
            #[serde(flatten)]
            rest: BTreeMap<String, Tagged>,
        },
    }
    let chain = |len| encode(&(0..len).fold(Chain(None), |inner, _| Chain(Some(Box::new(inner))))).unwrap();
    assert_eq!(
        chain(100),
        encode(&decode::<Chain>(&chain(100)).unwrap()).unwrap()
    );
    for len in [128, 129, 255, 256, 300] {
        assert!(decode::<Chain>(&chain(len)).is_none(), "{len}");
    }
    assert!(decode::<Chain>(&[FORMAT, 7]).is_none());

    let variants = |len| (0..len).fold(Variants::C, |inner, _| Variants::A(Box::new(inner)));
    assert!(decode::<Variants>(&encode(&variants(100)).unwrap()).is_some());
    assert!(decode::<Variants>(&encode(&variants(200)).unwrap()).is_none());

    for bytes in [
        &[0x91][..],
        b"\x81\xa1A",
        b"\x81\xa1B\x81\xa1b",
        b"\x81\xa1m",
        b"\x82\xa1t\xa1A\xa1x",
        b"\x82\xa1x",
        b"\xd4\0\xff",
    ] {
        let bytes = repeated(bytes);
        assert!(decode::<Nest>(&bytes).is_none());
        assert!(decode::<Chain>(&bytes).is_none());
        assert!(decode::<Variants>(&bytes).is_none());
        assert!(decode::<Untagged>(&bytes).is_none());
        assert!(decode::<Tagged>(&bytes).is_none());
        assert!(decode::<Shape>(&bytes).is_none());
        assert!(decode::<serde::de::IgnoredAny>(&bytes).is_none());
        // About the depth limit, with a valid innermost value.
        for depth in 100..130 {
            let mut bytes = bytes[..=depth].to_vec();
            bytes.push(7);
            decode::<Untagged>(&bytes);
            decode::<Tagged>(&bytes);
            decode::<Shape>(&bytes);
        }
    }
    for depth in 100..130 {
        let nested = |pair: &[u8], last: &[u8]| [&[FORMAT], &pair.repeat(depth)[..], last].concat();
        assert_eq!(
            decode::<Untagged>(&nested(b"\x91", b"\x07")).is_some(),
            depth <= 128
        );
        assert_eq!(
            decode::<Untagged>(&nested(b"\x81\xa1m", b"\x07")).is_some(),
            depth <= 128
        );
        assert_eq!(
            decode::<Tagged>(&nested(b"\x82\xa1t\xa1A\xa1x", b"\x81\xa1t\xa1A")).is_some(),
            depth < 128
        );
        for level in [
            &b"\x81\xa5Maybe"[..],
            b"\x81\xa4Many\x91",
            b"\x81\xa8Untagged\x82\xa6nested\xc0\xa2of",
            b"\x81\xa8Internal\x83\xa4kind\xa6Struct\xa6nested\xc0\xa2of",
        ] {
            decode::<Shape>(&nested(level, b"\xa4Unit"));
            assert!(decode::<Shape>(&[&[FORMAT], &level.repeat(60)[..], b"\xa4Unit"].concat()).is_some());
        }
    }
}

/// The peak memory of a decode, in bytes.
fn peak<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> usize {
    let allocated = allocation_counter::measure(|| drop(decode::<T>(bytes)));
    usize::try_from(allocated.bytes_max).unwrap()
}

#[test]
fn announced_lengths_allocate_nothing() {
    type Deep = Vec<Vec<Vec<Vec<Vec<Vec<Vec<Vec<u64>>>>>>>>;
    for marker in [0xdd, 0xdf, 0xdb, 0xc6] {
        let claim = [FORMAT, marker, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
        assert_eq!(peak::<Vec<u64>>(&claim), 0);
        assert_eq!(peak::<BTreeMap<u8, u8>>(&claim), 0);
        assert_eq!(peak::<String>(&claim), 0);
        assert_eq!(peak::<Whole>(&claim), 0);
    }
    // Each level announces all remaining bytes, which is valid for the outermost level only.
    let mut bytes = vec![FORMAT];
    for level in 1..8_u16 {
        bytes.push(0xdc);
        bytes.extend((10_000 - 3 * level).to_be_bytes());
    }
    bytes.resize(10_001, 0x90);
    assert!(peak::<Deep>(&bytes) <= 24 * bytes.len());
}

/// A row that takes far more memory than its shortest encodings: a nil, and a map without fields.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Row {
    names: [String; 8],
    numbers: [u64; 8],
}

/// An array of this size. 8 MiB is the default of `max_value_size`; less keeps the tests fast.
fn full_of(element: &[u8], size: usize) -> Vec<u8> {
    let len = size / element.len();
    let head = [FORMAT, 0xdd].into_iter().chain((len as u32).to_be_bytes());
    head.chain(element.repeat(len)).collect()
}

#[test]
fn hostile_bytes_are_decoded_within_their_budget() {
    /// A large value of one byte.
    #[derive(Debug, Deserialize)]
    #[serde(from = "u8")]
    struct Large {
        _row: Row,
    }
    impl From<u8> for Large {
        fn from(_: u8) -> Self {
            let _row = Row::default();
            Self { _row }
        }
    }
    #[derive(Debug, Deserialize)]
    enum Variant {
        #[serde(rename = "")]
        Boxed(#[expect(dead_code, reason = "only decoded")] Box<Row>),
    }
    fn assert_of<T: serde::de::DeserializeOwned>(element: &[u8], size: usize) {
        let bytes = full_of(element, size);
        let mut is_miss = false;
        let peak = allocation_counter::measure(|| is_miss = decode::<T>(&bytes).is_none()).bytes_max;
        let name = std::any::type_name::<T>();
        // A growing `Vec` holds its old and its new elements for a moment, and the smallest `HashMap` has four places.
        let limit = 4 * budget(bytes.len());
        assert!(is_miss, "{name}");
        assert!(peak <= limit as u64, "{name}: {} MiB", peak >> 20);
    }
    fn assert<T: serde::de::DeserializeOwned>(element: &[u8]) {
        assert_of::<T>(element, 2 << 20);
    }
    assert_of::<Vec<Option<Row>>>(&[0xc0], 8 << 20);
    assert::<Vec<Option<Row>>>(&[0xc0]);
    assert::<Vec<Row>>(&[0x80]);
    assert::<Vec<Box<Row>>>(&[0x80]);
    assert::<Vec<Large>>(&[7]);
    assert::<Vec<[Option<Row>; 2]>>(&[0x92, 0xc0, 0xc0]);
    assert::<Vec<Option<Option<Row>>>>(&[0xd4, 0, 1]);
    assert::<Vec<Variant>>(&[0x81, 0xa0, 0x80]);
    assert::<Vec<(Row,)>>(&[0x91, 0x80]);
    assert::<VecDeque<Option<Row>>>(&[0xc0]);
    assert::<Vec<Vec<Option<Row>>>>(&[0x91, 0xc0]);
    assert::<Vec<LinkedList<Row>>>(&[0x91, 0x80]);
    // A node of a tree has eleven places.
    assert::<Vec<BTreeMap<u8, Option<Row>>>>(&[0x81, 7, 0xc0]);
    assert::<Vec<BTreeSet<String>>>(&[0x91, 0xa0]);
    assert::<Vec<HashMap<u8, Option<Row>>>>(&[0x81, 7, 0xc0]);
}

#[test]
fn a_large_value_beyond_its_budget_is_not_stored() {
    let sparse = |rows: usize| (0..rows).map(|_| None::<Row>).collect::<Vec<_>>();
    assert!(encode_decodable(&sparse(2 << 20)).is_err());
    assert!(encode_decodable(&sparse(65_535)).is_ok());
    assert!(encode_decodable(&"x".repeat(2 << 20)).is_ok());
}

#[test]
fn the_budget_admits_usual_values_of_8_mib() {
    fn assert<T: serde::de::DeserializeOwned>(element: &[u8]) {
        assert!(
            decode::<T>(&full_of(element, 8 << 20)).is_some(),
            "{}",
            std::any::type_name::<T>()
        );
    }
    assert::<Vec<u8>>(&[7]);
    assert::<Vec<u64>>(&[7]);
    assert::<Vec<Option<u64>>>(&[0xc0]);
    assert::<Vec<String>>(b"\xa0");
    assert::<Vec<(u64, Option<f64>)>>(b"\x92\x07\xc0");
    assert::<Vec<BTreeMap<String, u64>>>(b"\x82\xa6amount\x07\xa5total\x07");
    let text = "x".repeat(8 << 20);
    assert_eq!(decode(&encode(&text).unwrap()), Some(text));
    // A small value may take far more memory than its bytes.
    let rows = [&[FORMAT, 0xdc, 0xff, 0xff], &[0xc0; 65_535][..]].concat();
    assert!(decode::<Vec<Option<Row>>>(&rows).is_some());
}

#[test]
fn nested_nils_take_no_more_memory_than_other_values() {
    #[derive(Debug, Serialize, Deserialize)]
    struct Chain(Option<Box<Chain>>);
    /// serde buffers an untagged enum, with each `Some` in a box.
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Buffered {
        Nested(Vec<Option<Option<Option<Option<()>>>>>),
    }
    let nils = |somes| [&[FORMAT, 0xdc, 0x27, 0x10], &[0xd4, 0, somes].repeat(10_000)[..]].concat();
    for somes in 1..=128 {
        assert!(
            peak::<Buffered>(&nils(somes)) <= 128 * nils(somes).len(),
            "{somes}"
        );
        assert!(
            peak::<Vec<Chain>>(&nils(somes)) <= 128 * nils(somes).len(),
            "{somes}"
        );
    }
    let buffered = Buffered::Nested(vec![Some(Some(Some(None))); 10_000]);
    assert_eq!(decode(&encode(&buffered).unwrap()), Some(buffered));
}

proptest! {
    #[test]
    fn random_bytes_are_a_miss_or_a_value(bytes in vec(any::<u8>(), 0..400)) {
        check(&bytes)?;
    }

    #[test]
    fn random_markers_are_a_miss_or_a_value(
        bytes in vec(prop_oneof![0x80..0xa4_u8, 0xc0..=0xff_u8, Just(0), Just(1), 0x41..0x7b_u8], 0..400),
    ) {
        check(&bytes)?;
    }

    #[test]
    fn truncated_and_changed_bytes_are_a_miss_or_a_value(
        whole in super::random::whole(),
        end in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let bytes = encode(&whole).unwrap();
        let end = end.index(bytes.len());
        prop_assert!(decode::<Whole>(&bytes[..end]).is_none());
        let mut changed = bytes.clone();
        let at = at.index(bytes.len() - 1) + 1;
        changed[at] = byte;
        check(&changed[1..])?;
        check(&changed[at..])?;
    }
}

/// Decodes bytes as several types. The memory is bounded by the largest value that the bytes can encode.
fn check(bytes: &[u8]) -> Result<(), TestCaseError> {
    let bytes = &[&[FORMAT], bytes].concat()[..];
    let limit = |each: usize| 4 * each * bytes.len() + 1024;
    prop_assert!(peak::<Vec<u64>>(bytes) <= limit(8));
    prop_assert!(peak::<Vec<Vec<String>>>(bytes) <= limit(24));
    prop_assert!(peak::<Vec<Shape>>(bytes) <= limit(size_of::<Shape>()));
    prop_assert!(peak::<Shape>(bytes) <= limit(size_of::<Shape>()));
    prop_assert!(peak::<Vec<Whole>>(bytes) <= limit(size_of::<Whole>()));
    prop_assert!(peak::<serde::de::IgnoredAny>(bytes) == 0);
    // A decoded value round-trips.
    if let Some(shape) = decode::<Shape>(bytes) {
        prop_assert_eq!(decode(&encode(&shape).unwrap()), Some(shape));
    }
    Ok(())
}
