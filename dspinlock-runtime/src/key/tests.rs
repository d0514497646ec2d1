//! The digests of keys, computed here from the canonical bytes written out.

use std::any::TypeId;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use serde::ser::Error;
use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};

use super::{KeyError, KeyHasher, KeyPart, Owner, canonical};

#[derive(Serialize)]
struct Newtype<T>(T);

#[derive(Serialize)]
struct Triple(u8, u8, u8);

#[derive(Serialize)]
struct Empty();

/// serde's byte string, unlike `&[u8]`.
struct Bytes(&'static [u8]);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

struct Shown<T>(T);

impl<T: Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// As `serde_json` serializes a number with its feature `arbitrary_precision`.
#[derive(Serialize)]
#[serde(rename = "$serde_json::private::Number")]
struct JsonNumber {
    #[serde(rename = "$serde_json::private::Number")]
    text: &'static str,
}

struct Fails;

impl Serialize for Fails {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(S::Error::custom("no"))
    }
}

fn shared(parts: &[&dyn KeyPart]) -> [u8; 32] {
    let mut hasher = KeyHasher::new(true);
    parts.iter().for_each(|part| part.feed(&mut hasher));
    hasher.digest(None, |_| unreachable!()).unwrap().0
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

#[test]
fn a_single_text_or_byte_string_is_hashed_raw() {
    let long = "0123456789".repeat(1000);
    let rows: &[(&[u8], &[&dyn KeyPart])] = &[
        (b"", &[&"", &Bytes(b""), &Vec::<u8>::new(), &[(); 0], &Shown("")]),
        (
            b"example",
            &[
                &"example",
                &String::from("example"),
                &Newtype(Newtype("example")),
                &Bytes(b"example"),
                b"example",
                &b"example".to_vec(),
                &Shown("example"),
                &format_args!("{}{}", "exam", "ple"),
            ],
        ),
        (b"a", &[&"a", &(b'a',), b"a", &[Newtype(b'a')]]),
        // Content that looks like canonical bytes.
        (
            &[21, 0, 0],
            &[&"\u{15}\0\0", &[21_u8, 0, 0], &(21_u8, 0_u8, 0_u8)],
        ),
        (
            long.as_bytes(),
            &[
                &long,
                &long.as_bytes(),
                &Shown(&long),
                &Bytes(long.clone().leak().as_bytes()),
            ],
        ),
    ];
    for (content, parts) in rows {
        for (at, part) in parts.iter().enumerate() {
            assert_eq!(shared(&[*part]), sha256(content), "{content:?} in column {at}");
        }
    }
}

#[test]
fn every_other_value_is_hashed_by_its_canonical_bytes() {
    let rows: &[(&dyn KeyPart, &[u8])] = &[
        (&(), &[3]),
        (&97_u8, &[21, 97]),
        (&'a', &[5, 97, 0, 0, 0]),
        (&None::<&str>, &[1]),
        (&Some("a"), &[2, 6, 1, 0, 0, 0, 0, 0, 0, 0, 97]),
        (&Some([97_u8]), &[2, 8, 21, 97, 0]),
        (&[97_i8], &[8, 16, 97, 0]),
        (&(97_u8, true), &[8, 21, 97, 4, 1, 0]),
        (&["a"], &[8, 6, 1, 0, 0, 0, 0, 0, 0, 0, 97, 0]),
        (&[[97_u8]], &[8, 8, 21, 97, 0, 0]),
        (&([(); 0], 97_u8), &[8, 8, 0, 21, 97, 0]),
        (&Triple(97, 98, 99), &[8, 21, 97, 21, 98, 21, 99, 0]),
        (&Newtype(Triple(97, 98, 99)), &[8, 21, 97, 21, 98, 21, 99, 0]),
        (&Empty(), &[8, 0]),
        (&BTreeMap::from([(97_u8, 98_u8)]), &[9, 21, 97, 21, 98, 0]),
        (&BTreeMap::<u8, u8>::new(), &[9, 0]),
    ];
    for (at, (part, canonical)) in rows.iter().enumerate() {
        assert_eq!(
            shared(&[*part]),
            sha256(&[canonical, &[0][..]].concat()),
            "row {at}"
        );
    }
}

/// A lock on `(a, b)` and a function with the parts `a` and `b` have the same key.
#[test]
fn several_parts_have_the_key_of_their_tuple() {
    let text = [6, 1, 0, 0, 0, 0, 0, 0, 0, 97];
    assert_eq!(
        shared(&[&"a", &"a"]),
        sha256(&[&[8], &text[..], &text, &[0, 0]].concat())
    );
    let rows: &[(&[&dyn KeyPart], &dyn KeyPart)] = &[
        (&[], &()),
        (&[&"a", &"a"], &("a", "a")),
        (&[&"a", &"a"], &["a", "a"]),
        (&[&(), &"a"], &((), "a")),
        (&[&7_u64, &"eu", &Some(true)], &(7_u64, "eu", Some(true))),
        (&[&("a", "b"), &"c"], &(("a", "b"), "c")),
        (&[&Triple(1, 2, 3), &4_u8], &(Triple(1, 2, 3), 4_u8)),
        // A tuple of `u8` is a byte string.
        (&[&b'a', &b'b'], &(b'a', b'b')),
        (&[&b'a', &b'b'], &"ab"),
        (&[&b'a', &Newtype(b'b')], &"ab"),
    ];
    for (at, (parts, tuple)) in rows.iter().enumerate() {
        assert_eq!(shared(parts), shared(&[*tuple]), "row {at}");
    }
    let different: &[&[&dyn KeyPart]] = &[
        &[],
        &[&""],
        &[&"a"],
        &[&("a",)],
        &[&"a", &"b"],
        &[&("a", "b"), &"c"],
        &[&"a", &("b", "c")],
        &[&"a", &"b", &"c"],
        &[&1_u8, &2_u8, &3_u8],
        &[&Triple(1, 2, 3)],
        &[&7_u64],
        &[&(7_u64,)],
        &[&((7_u64,),)],
    ];
    let digests: BTreeSet<_> = different.iter().map(|parts| shared(parts)).collect();
    assert_eq!(digests.len(), different.len());
}

#[test]
fn the_site_counts_unless_the_key_is_shared() {
    let digest = |shared| {
        let mut hasher = KeyHasher::new(shared);
        "a".feed(&mut hasher);
        hasher.finish("p".into(), "site").unwrap().name()
    };
    assert_eq!(
        digest(true),
        "p,ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
    );
    assert_eq!(digest(false), "p,azxpUaCJD2KHBpQk3KXTNiiV4uniCgnXu");
}

#[test]
fn a_failing_serialize_is_an_error() {
    for shared in [false, true] {
        for failing in [&Fails as &dyn KeyPart, &["a", "b"].map(|_| Fails), &Some(Fails)] {
            let mut hasher = KeyHasher::new(shared);
            failing.feed(&mut hasher);
            "a".feed(&mut hasher);
            assert_eq!(hasher.finish("p".into(), "site"), Err(KeyError::Serialize));
        }
    }
}

/// The digest of one text, as an annotated function computes it.
fn of_site(owner: Option<Owner>, name: &str, text: &str) -> [u8; 32] {
    let mut hasher = KeyHasher::new(false);
    text.feed(&mut hasher);
    let digest = hasher.digest(owner, |hash| {
        hash.update(name);
        Some(())
    });
    digest.unwrap().0
}

#[test]
fn a_remembered_digest_is_that_of_the_same_bytes_and_the_same_site() {
    let (one, other) = (&1_u8, &2_u8);
    let (f, g) = (TypeId::of::<u8>(), TypeId::of::<u16>());
    let sites = [(one, f), (one, g), (other, f), (other, g)];
    // With the head and the end mark, the longest text on the stack has 110 bytes. More texts than a thread remembers.
    let texts: Vec<String> = (0..300)
        .map(|n| format!("{n:x<length$}", length = n % 130))
        .collect();
    for _ in 0..3 {
        for text in &texts {
            for (site, body) in sites {
                let name = format!("{site}{body:?}");
                let digest = of_site(Some(Owner::new(site, body)), &name, text);
                assert_eq!(digest, of_site(None, &name, text), "{name} {text}");
            }
        }
    }
}

#[test]
fn a_remembered_digest_is_not_computed_again() {
    let owner = Owner::new(&1_u8, TypeId::of::<u8>());
    let first = of_site(Some(owner), "name", "text");
    assert_eq!(of_site(Some(owner), "another name", "text"), first);
    let long = "x".repeat(200);
    let first = of_site(Some(owner), "name", &long);
    assert_ne!(
        of_site(Some(owner), "another name", &long),
        first,
        "a long key is not remembered"
    );
}

#[test]
fn the_fixtures_of_the_page_are_the_digests_of_keys() {
    const PAGE: &str = include_str!("../../../docs/wire-format.md");
    let block = PAGE
        .split("```keys\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    let (parts, site): ([&dyn KeyPart; 2], _) = ([&7_u64, &"eu"], "shop::price<A, B>");
    let mut text = KeyHasher::new(true);
    "user:7".feed(&mut text);
    let mut single = KeyHasher::new(false);
    parts.iter().for_each(|part| part.feed(&mut single));
    let mut bytes = Vec::new();
    canonical::write(&7_u64, &mut bytes).unwrap();
    canonical::write("eu", &mut bytes).unwrap();
    canonical::end(&mut bytes);
    let digest = sha256(&[&bytes, site.as_bytes()].concat());
    let key = single.finish("dspinlock".into(), site).unwrap();
    let lines = [
        ("text digest", hex(&sha256(b"user:7"))),
        ("text name", text.finish("dspinlock".into(), "").unwrap().name()),
        ("parts bytes", hex(&bytes)),
        ("parts digest", hex(&digest)),
        ("parts name", key.name()),
        (
            "in billing",
            key.unnamed().in_namespace(&sha256(b"billing")).name(),
        ),
        ("shared parts", hex(&shared(&parts))),
    ];
    let written: String = lines
        .map(|(title, text)| format!("{title:<15}  {text}\n"))
        .concat();
    assert_eq!(Some(written.as_str()), block);
}

#[test]
fn a_json_number_of_any_precision_has_the_key_of_its_number() {
    let number = |text| JsonNumber { text };
    let rows: &[(&dyn KeyPart, &dyn KeyPart)] = &[
        (&number("7"), &7_u64),
        (&number("-7"), &-7_i64),
        (&number("0.5"), &0.5_f64),
        (&[number("1"), number("2")], &[1_u64, 2]),
        (&(number("1"), "1"), &(1_u64, "1")),
        (
            &BTreeMap::from([("b", number("1")), ("a", number("2"))]),
            &BTreeMap::from([("b", 1_u64), ("a", 2)]),
        ),
    ];
    for (at, (number, plain)) in rows.iter().enumerate() {
        assert_eq!(shared(&[*number]), shared(&[*plain]), "row {at}");
    }
    let precise =
        ["0.10000000000000000001", "0.10000000000000000002", "0.1"].map(|text| shared(&[&number(text)]));
    assert!(precise[0] != precise[1] && precise[1] != precise[2] && precise[0] != precise[2]);
}

#[test]
fn a_range_and_an_inclusive_range_have_different_keys() {
    let fields = [
        &[10][..],
        &[6, 5, 0, 0, 0, 0, 0, 0, 0],
        b"start",
        &[21, 1],
        &[6, 3, 0, 0, 0, 0, 0, 0, 0],
        b"end",
        &[21, 3, 0],
    ]
    .concat();
    let variant = [&[11, 14, 0, 0, 0, 0, 0, 0, 0][..], b"RangeInclusive"].concat();
    assert_eq!(shared(&[&(1_u8..3)]), sha256(&[&fields[..], &[0]].concat()));
    assert_eq!(
        shared(&[&(1_u8..=3)]),
        sha256(&[&variant[..], &fields, &[0]].concat())
    );
}
