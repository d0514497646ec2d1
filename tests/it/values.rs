//! Values: each type that a function may return comes back equal, and is computed once.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
use std::ffi::CString;
use std::fmt::Debug;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::{NonZeroI64, NonZeroU8, Saturating, Wrapping};
use std::ops::{Bound, Range, RangeInclusive};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use dspinlock::{Error, dspinlock};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::common::store::init_in_memory;

static BODIES: AtomicU64 = AtomicU64::new(0);

#[dspinlock(key = number, cached_if_computed)]
fn kept<T: Serialize + DeserializeOwned + Clone>(number: u32, value: &T) -> Result<T, Error> {
    BODIES.fetch_add(1, Ordering::Relaxed);
    Ok(value.clone())
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Row {
    id: u64,
    name: Option<String>,
    tags: Vec<String>,
    score: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Unit;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Newtype(i16);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Pair(u8, String);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Plain {
    None,
    One(i32),
    Two(u8, char),
    Named { left: Option<u8>, right: bool },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    Circle { radius: f32 },
    Empty,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "content")]
enum Adjacent {
    Number(i64),
    Text(String),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(i64),
    Text(String),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Flat {
    id: u8,
    #[serde(flatten)]
    rest: BTreeMap<String, i32>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Renamed {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Tree {
    children: Vec<Tree>,
}

/// Calls twice with each value, and compares what was returned. The result is the number of values.
macro_rules! come_back {
    ($($value:expr),* $(,)?) => {{
        let mut number = 0;
        $(
            number += 1;
            comes_back(number, &$value);
        )*
        number
    }};
}

fn comes_back<T: Serialize + DeserializeOwned + Clone + PartialEq + Debug>(number: u32, value: &T) {
    let before = BODIES.load(Ordering::Relaxed);
    for call in ["computed", "stored"] {
        let returned = kept(number, value).expect("the call succeeds");
        assert_eq!(returned, *value, "value {number} is {call}");
    }
    let bodies = BODIES.load(Ordering::Relaxed) - before;
    assert_eq!(bodies, 1, "value {number}: {value:?}");
}

#[test]
fn forty_types_come_back_equal_and_are_computed_once() {
    init_in_memory();
    let json = r#"{"a":[1,-2,3.5,null,true,"x"],"b":{"c":18446744073709551615}}"#;
    let json: serde_json::Value = serde_json::from_str(json).expect("it is JSON");
    let types = come_back![
        (),
        true,
        -1i8,
        u8::MAX,
        i16::MIN,
        u16::MAX,
        i32::MIN,
        u32::MAX,
        i64::MIN,
        u64::MAX,
        i128::MIN,
        u128::MAX,
        f32::MIN_POSITIVE,
        f64::MAX,
        'ß',
        "text with \0 and 🦀".to_owned(),
        vec![0u8, 127, 255],
        Some(3u8),
        None::<String>,
        Some(None::<u8>),
        Some(Some(Some(()))),
        Ok::<u8, String>(1),
        Err::<u8, String>("no".into()),
        vec![Some(1.5f64), None],
        [1u16; 32],
        (1u8, -2i64, "three".to_owned(), [4.0f32]),
        Box::new(Cow::Borrowed("borrowed").into_owned()),
        BTreeMap::from([(1u8, vec!["x".to_owned()])]),
        HashMap::from([("a".to_owned(), 1i64), ("b".to_owned(), -1)]),
        BTreeMap::from([((1u8, 'x'), ())]),
        BTreeSet::from([-3i32, 4]),
        HashSet::from([String::new()]),
        VecDeque::from([1u64]),
        LinkedList::from([Some(1u8)]),
        BinaryHeap::from([3u8, 1, 2]).into_sorted_vec(),
        Duration::new(1, 999_999_999),
        UNIX_EPOCH + Duration::from_nanos(1_700_000_000_123_456_789),
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        SocketAddr::from((Ipv6Addr::LOCALHOST, 80)),
        PathBuf::from("/tmp/x"),
        CString::new("c").expect("it contains no zero byte"),
        NonZeroU8::MAX,
        NonZeroI64::MIN,
        Wrapping(7u32),
        Saturating(7i8),
        Range { start: 1u8, end: 9 },
        RangeInclusive::new(-1i32, 1),
        (Bound::Included(1u8), Bound::<u8>::Unbounded),
        Unit,
        Newtype(-5),
        Pair(1, "x".into()),
        vec![
            Plain::None,
            Plain::One(-1),
            Plain::Two(1, 'z'),
            Plain::Named {
                left: None,
                right: true
            }
        ],
        vec![Tagged::Circle { radius: 0.5 }, Tagged::Empty],
        vec![Adjacent::Number(5), Adjacent::Text("5".into())],
        vec![
            Untagged::Number(-5),
            Untagged::Number(5),
            Untagged::Text("5".into())
        ],
        Flat {
            id: 1,
            rest: BTreeMap::from([("x".to_owned(), -1)]),
        },
        Renamed {
            kind: "a".into(),
            note: None,
        },
        Tree {
            children: vec![
                Tree { children: vec![] },
                Tree {
                    children: vec![Tree { children: vec![] }]
                }
            ],
        },
        Row {
            id: 1,
            name: Some("x".into()),
            tags: vec![],
            score: -0.5,
        },
        json,
    ];
    assert!(types >= 40, "{types}");
}
