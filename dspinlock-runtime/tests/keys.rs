//! Keys of arguments: equal arguments have equal digests, and different arguments have different ones.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::{LazyLock, Mutex};

use dspinlock_runtime::internals::key::{Key, KeyHasher, KeyPart};
use proptest::prelude::*;
use serde::{Serialize, Serializer};

/// Arguments of every kind in serde's data model. Two arguments are equal if their `Debug` output is equal, so that all
/// NaNs are equal and the two zeros are not.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
enum Argument {
    I8(i8),
    I16(i16),
    I32(i32),
    I64(i64),
    I128(i128),
    U8(u8),
    U16(u16),
    U32(u32),
    U64(u64),
    U128(u128),
    F32(f32),
    F64(f64),
    Flag(bool),
    Char(char),
    Unit,
    Text(String),
    Bytes(Bytes),
    Option(Option<Box<Argument>>),
    List(Vec<Argument>),
    Map(BTreeMap<String, Argument>),
    Struct(Struct),
    Enum(Enum),
}

#[derive(Debug, Clone, Serialize)]
struct Struct {
    #[serde(skip_serializing_if = "Option::is_none")]
    a: Option<Box<Argument>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    b: Option<Box<Argument>>,
}

#[derive(Debug, Clone, Serialize)]
enum Enum {
    Unit,
    OtherUnit,
    Newtype(Box<Argument>),
    OtherNewtype(Box<Argument>),
    Tuple(Box<Argument>, Box<Argument>),
    OtherTuple(Box<Argument>, Box<Argument>),
    Struct { a: Box<Argument>, b: Box<Argument> },
    OtherStruct { a: Box<Argument>, b: Box<Argument> },
}

/// A byte string of serde, in contrast to a sequence of `u8`.
#[derive(Debug, Clone)]
struct Bytes(Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

/// Draws few and short leaves, so that different arguments are often similar: numbers with the same bits, and strings and
/// bytes that look like the canonical form of another value.
fn argument() -> impl Strategy<Value = Argument> {
    let nan = |bits: u64| Just(i128::from(bits));
    let number = prop_oneof![
        4 => prop::sample::select(vec![0, 1, -1]),
        4 => (0..128_u32).prop_map(|bit| 1 << bit),
        1 => prop_oneof![nan(f32::NAN.to_bits().into()), nan(f64::NAN.to_bits())],
    ];
    let number = (0..12, number).prop_map(|(kind, bits)| match kind {
        0 => Argument::I8(bits as i8),
        1 => Argument::I16(bits as i16),
        2 => Argument::I32(bits as i32),
        3 => Argument::I64(bits as i64),
        4 => Argument::I128(bits),
        5 => Argument::U8(bits as u8),
        6 => Argument::U16(bits as u16),
        7 => Argument::U32(bits as u32),
        8 => Argument::U64(bits as u64),
        9 => Argument::U128(bits as u128),
        10 => Argument::F32(f32::from_bits(bits as u32)),
        _ => Argument::F64(f64::from_bits(bits as u64)),
    });
    let leaf = prop_oneof![
        12 => number,
        2 => any::<bool>().prop_map(Argument::Flag),
        2 => prop::sample::select(vec!['\0', '\u{1}', 'a', '\u{161}']).prop_map(Argument::Char),
        1 => Just(Argument::Unit),
        1 => Just(Argument::Option(None)),
        4 => "[ab\0\u{1}\u{6}]{0,3}".prop_map(Argument::Text),
        4 => prop::collection::vec(0..9_u8, 0..3).prop_map(|bytes| Argument::Bytes(Bytes(bytes))),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let boxed = inner.clone().prop_map(Box::new);
        let two = || (boxed.clone(), boxed.clone());
        let maybe = || prop::option::of(boxed.clone());
        prop_oneof![
            maybe().prop_map(Argument::Option),
            prop::collection::vec(inner.clone(), 0..3).prop_map(Argument::List),
            prop::collection::btree_map("[ab]{0,2}", inner, 0..3).prop_map(Argument::Map),
            (maybe(), maybe()).prop_map(|(a, b)| Argument::Struct(Struct { a, b })),
            prop_oneof![
                Just(Enum::Unit),
                Just(Enum::OtherUnit),
                boxed.clone().prop_map(Enum::Newtype),
                boxed.clone().prop_map(Enum::OtherNewtype),
                two().prop_map(|(a, b)| Enum::Tuple(a, b)),
                two().prop_map(|(a, b)| Enum::OtherTuple(a, b)),
                two().prop_map(|(a, b)| Enum::Struct { a, b }),
                two().prop_map(|(a, b)| Enum::OtherStruct { a, b }),
            ]
            .prop_map(Argument::Enum),
        ]
    })
}

fn arguments() -> impl Strategy<Value = Vec<Argument>> {
    prop::collection::vec(argument(), 0..4)
}

fn key<'a, P: KeyPart + ?Sized + 'a>(parts: impl IntoIterator<Item = &'a P>, site: &str) -> Key {
    let mut hasher = KeyHasher::new(false);
    parts.into_iter().for_each(|part| part.feed(&mut hasher));
    hasher
        .finish("dspinlock".into(), site)
        .expect("the arguments can be serialized")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// Compares each call with all calls that were drawn before. The name of a site may look like an argument.
    #[test]
    fn keys_are_equal_if_and_only_if_the_arguments_are(arguments in arguments(), site in "[a\u{1}\u{3}]{1,2}") {
        #[derive(Default)]
        struct Drawn {
            calls: HashMap<Key, String>,
            keys: HashMap<String, Key>,
        }
        static DRAWN: LazyLock<Mutex<Drawn>> = LazyLock::new(Mutex::default);
        let (key, call) = (key(&arguments, &site), format!("{site:?} {arguments:?}"));
        let Drawn { calls, keys } = &mut *DRAWN.lock().expect("only a failed case panics");
        prop_assert_eq!(&*calls.entry(key.clone()).or_insert(call.clone()), &call);
        prop_assert_eq!(&*keys.entry(call).or_insert(key.clone()), &key);
    }

    #[test]
    fn every_bit_of_a_number_changes_the_key(bits in any::<u128>(), bit in 0..128_u32) {
        let pair = [bits, bits ^ 1 << bit];
        macro_rules! check {
            ($($number:expr),*) => {$(
                let [one, other] = pair.map($number);
                let same = format!("{one:?}") == format!("{other:?}");
                prop_assert_eq!(key([&one], "site") == key([&other], "site"), same, "{} {}", one, other);
            )*};
        }
        check!(|n| n as u8, |n| n as u16, |n| n as u32, |n| n as u64, |n| n, |n| n as usize);
        check!(|n| n as i8, |n| n as i16, |n| n as i32, |n| n as i64, |n| n as i128, |n| n as isize);
        check!(|n| f32::from_bits(n as u32), |n| f64::from_bits(n as u64));
        check!(|n| char::from_u32(n as u32 >> 11).unwrap_or_default());
    }

    #[test]
    fn the_same_elements_in_other_groups_are_another_key(list in prop::collection::vec(argument(), 1..6), cut in any::<prop::sample::Index>()) {
        let at = cut.index(list.len());
        let (left, right) = list.split_at(at);
        let grouped = [Argument::List(left.to_vec()), Argument::List(right.to_vec())];
        prop_assert_ne!(key(&grouped, "site"), key(&list, "site"));
        prop_assert_ne!(key(&grouped, "site"), key(&[Argument::List(list.clone())], "site"));
    }

    #[test]
    fn a_boundary_moved_between_arguments_is_another_key(
        text in "[ab\0\u{1}\u{6}]{1,20}",
        cuts in any::<[prop::sample::Index; 2]>(),
    ) {
        let cuts = cuts.map(|cut| cut.index(text.len() + 1));
        prop_assume!(cuts[0] != cuts[1]);
        let texts = cuts.map(|at| text.split_at(at));
        let keys = |of: &dyn Fn(&str) -> Box<dyn KeyPart>| {
            texts.map(|(left, right)| key([&*of(left), &*of(right)], "site"))
        };
        for [one, other] in [
            keys(&|text| Box::new(text.to_owned())),
            keys(&|text| Box::new(Bytes(text.into()))),
            keys(&|text| Box::new(text.as_bytes().to_vec())),
            keys(&|text| Box::new(text.chars().map(String::from).collect::<Vec<_>>())),
        ] {
            prop_assert_ne!(one, other);
        }
    }

    #[test]
    fn the_order_of_a_map_does_not_change_the_key(map in prop::collection::hash_map("[a-z]{0,3}", 0..9_u64, 0..8)) {
        let sorted: BTreeMap<String, u64> = map.clone().into_iter().collect();
        let again: HashMap<String, u64> = map.clone().into_iter().collect();
        prop_assert_eq!(key([&map], "site"), key([&sorted], "site"));
        prop_assert_eq!(key([&again], "site"), key([&sorted], "site"));
    }
}

/// All parts of a row have the same key. Different rows have different keys.
#[test]
fn equal_values_of_different_types_share_a_key_as_listed() {
    #[derive(Serialize)]
    struct Newtype<T>(T);
    #[derive(Serialize)]
    struct Unit;
    #[derive(Serialize)]
    struct Triple(u8, u8, u8);
    #[derive(Serialize)]
    struct Pair {
        a: u8,
        b: u8,
    }
    #[derive(Serialize)]
    struct Renamed<'a> {
        #[serde(rename = "a")]
        x: &'a u8,
        #[serde(skip)]
        _not: &'a str,
        b: u8,
    }
    #[derive(Serialize)]
    struct Swapped {
        b: u8,
        a: u8,
    }
    #[derive(Serialize)]
    struct Flat {
        b: u8,
        #[serde(flatten)]
        rest: One,
    }
    #[derive(Serialize)]
    struct One {
        a: u8,
    }
    #[derive(Serialize)]
    enum Enum {
        Unit,
        Newtype(u8),
        Tuple(u8, u8),
        Struct { a: u8, b: u8 },
    }
    #[derive(Serialize)]
    #[serde(tag = "kind")]
    enum Tagged {
        Struct { a: u8 },
    }
    #[derive(Serialize)]
    struct Kinded {
        kind: &'static str,
        a: u8,
    }
    let rows: &[&[&dyn KeyPart]] = &[
        // The type of a number is part of the key. `usize` counts as `u64`.
        &[
            &1_u8,
            &&1_u8,
            &Box::new(1_u8),
            &Newtype(1_u8),
            &Newtype(Newtype(&1_u8)),
        ],
        &[&1_u16],
        &[&1_u32],
        &[&1_u64, &1_usize],
        &[&1_u128],
        &[&1_i8],
        &[&1_i16],
        &[&1_i32],
        &[&1_i64, &1_isize],
        &[&1_i128],
        &[&u64::MAX],
        &[&-1_i64],
        &[&u128::MAX],
        &[&-1_i128],
        // All NaNs are equal. The two zeros are not.
        &[&f32::NAN, &-f32::NAN, &f32::from_bits(0x7fa0_0001)],
        &[&f64::NAN, &-f64::NAN, &f64::from_bits(0x7ff4_0000_0000_0001)],
        &[&0.0_f32],
        &[&-0.0_f32],
        &[&0.0_f64],
        &[&-0.0_f64],
        &[&f32::from_bits(1)],
        &[&f64::from_bits(1)],
        &[&f64::from_bits(2)],
        &[&f64::INFINITY],
        &[&0.5_f32],
        &[&0.5_f64],
        &[&true],
        &[&false],
        &[&'a'],
        &[&97_u32],
        &[
            &"a",
            &String::from("a"),
            &Cow::Borrowed("a"),
            &format_args!("{}", 'a'),
        ],
        &[&Bytes(b"a".into())],
        &[&[97_u8], &vec![97_u8], &(97_u8,)],
        &[&""],
        &[&Bytes(Vec::new())],
        &[&(), &Unit],
        &[&None::<u8>, &None::<&str>],
        &[&Some(1_u8), &Some(&1_u8)],
        &[&Some(None::<u8>)],
        &[&Some(Some(1_u8))],
        &[&Some(())],
        // A tuple is a list.
        &[
            &(1_u8, 2_u8, 3_u8),
            &[1_u8, 2, 3],
            &vec![1_u8, 2, 3],
            &Triple(1, 2, 3),
        ],
        &[&((1_u8, 2_u8), 3_u8)],
        &[&(1_u8, (2_u8, 3_u8)), &(1_u8, [2_u8, 3])],
        &[&((1_u8, 2_u8, 3_u8),)],
        &[&[(); 0], &Vec::<u8>::new()],
        &[&[()]],
        &[&[[(); 0]; 1]],
        // The names of fields and their order are part of the key. The name of the struct is not.
        &[
            &Pair { a: 1, b: 2 },
            &Renamed {
                x: &1,
                _not: "x",
                b: 2,
            },
        ],
        &[&Swapped { b: 2, a: 1 }],
        &[&Pair { a: 2, b: 1 }],
        &[&One { a: 1 }],
        // A struct with a flattened field is a map.
        &[
            &Flat {
                b: 2,
                rest: One { a: 1 },
            },
            &BTreeMap::from([("a", 1_u8), ("b", 2)]),
            &HashMap::from([(String::from("b"), 2_u8), (String::from("a"), 1)]),
        ],
        &[&BTreeMap::from([("a", 2_u8), ("b", 1)])],
        &[&BTreeMap::<u8, u8>::new(), &HashMap::<&str, ()>::new()],
        &[&BTreeMap::from([(1_u8, 2_u8)])],
        &[&BTreeMap::from([(1_u16, 2_u8)])],
        &[&[(1_u8, 2_u8)]],
        &[&Enum::Unit],
        &[&Enum::Newtype(1)],
        &[&Enum::Tuple(1, 2)],
        &[&Enum::Struct { a: 1, b: 2 }],
        &[&Tagged::Struct { a: 1 }, &Kinded { kind: "Struct", a: 1 }],
    ];
    let mut row_of = HashMap::new();
    for (at, row) in rows.iter().enumerate() {
        for (column, part) in row.iter().enumerate() {
            let first = *row_of.entry(key([*part], "site")).or_insert(at);
            assert_eq!(first, at, "column {column} has the key of another row");
        }
        assert_eq!(row_of.len(), at + 1, "row {at} has several keys");
    }
}
