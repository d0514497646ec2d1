//! Keys: which calls share one, and that it is the same in every build.
//!
//! Site names contain the module path, so this module must stay `it::keys`.

use std::collections::{HashMap, HashSet};

use dspinlock::{Error, HashDSpinlock, Pool, dspinlock};
use serde::Serialize;

use crate::common::lock::locked;
use crate::common::store::{Store, init_in_memory};

mod left {
    #[dspinlock::dspinlock(fail_if_key_exists, ttl = "1h")]
    pub(super) fn same(id: u8) -> Result<(), dspinlock::Error> {
        Ok(())
    }
}

mod right {
    #[dspinlock::dspinlock(fail_if_key_exists, ttl = "1h")]
    pub(super) fn same(id: u8) -> Result<(), dspinlock::Error> {
        Ok(())
    }
}

struct One;
struct Two;

impl One {
    #[dspinlock(skip(self), fail_if_key_exists)]
    fn same(&self, id: u8) -> Result<(), Error> {
        Ok(())
    }
}

impl Two {
    #[dspinlock(skip(self), fail_if_key_exists)]
    fn same(&self, id: u8) -> Result<(), Error> {
        Ok(())
    }
}

trait North {
    fn turn(&self, id: u8) -> Result<(), Error>;
}

trait South {
    fn turn(&self, id: u8) -> Result<(), Error>;
}

impl North for One {
    #[dspinlock(skip(self), fail_if_key_exists)]
    fn turn(&self, id: u8) -> Result<(), Error> {
        Ok(())
    }
}

impl South for One {
    #[dspinlock(skip(self), fail_if_key_exists)]
    fn turn(&self, id: u8) -> Result<(), Error> {
        Ok(())
    }
}

#[expect(clippy::extra_unused_type_parameters, reason = "a part of the key")]
#[dspinlock(fail_if_key_exists)]
fn generic<T, const N: usize>(id: u8) -> Result<(), Error> {
    Ok(())
}

#[dspinlock(fail_if_key_exists)]
fn pair(left: &str, right: &str) -> Result<(), Error> {
    Ok(())
}

/// The key of a function with `fail_if_key_exists`, taken from the error of a second call.
fn key_of(call: impl Fn() -> Result<(), Error>) -> String {
    init_in_memory();
    let _ = call();
    match call().unwrap_err() {
        Error::FailIfKeyExistsIsEnabled { key, .. } => key.name().to_owned(),
        other => panic!("{other}"),
    }
}

#[test]
fn functions_with_the_same_name_never_share_a_key() {
    fn inner_one() -> String {
        #[dspinlock(fail_if_key_exists)]
        fn nested(id: u8) -> Result<(), Error> {
            Ok(())
        }
        key_of(|| nested(1))
    }
    fn inner_two() -> String {
        #[dspinlock(fail_if_key_exists)]
        fn nested(id: u8) -> Result<(), Error> {
            Ok(())
        }
        key_of(|| nested(1))
    }
    let keys = [
        key_of(|| left::same(1)),
        key_of(|| left::same(2)),
        key_of(|| right::same(1)),
        key_of(|| One.same(1)),
        key_of(|| Two.same(1)),
        key_of(|| North::turn(&One, 1)),
        key_of(|| South::turn(&One, 1)),
        key_of(|| generic::<u8, 1>(1)),
        key_of(|| generic::<u16, 1>(1)),
        key_of(|| generic::<u8, 2>(1)),
        key_of(|| pair("a", "bc")),
        key_of(|| pair("ab", "c")),
        key_of(|| pair("", "abc")),
        inner_one(),
        inner_two(),
    ];
    let distinct: HashSet<&String> = keys.iter().collect();
    assert_eq!(distinct.len(), keys.len(), "{keys:#?}");
}

#[test]
fn a_value_in_a_format_string_never_moves_into_the_next_hole() {
    #[dspinlock(key = "{left}:{right}", fail_if_key_exists)]
    fn format(left: &str, right: &str) -> Result<(), Error> {
        Ok(())
    }
    #[dspinlock(key = "{left:?}", name = "one", fail_if_key_exists)]
    fn debug(left: &str) -> Result<(), Error> {
        Ok(())
    }
    #[dspinlock(key = "{left}", name = "one", fail_if_key_exists)]
    fn display(left: &str) -> Result<(), Error> {
        Ok(())
    }
    #[dspinlock(key = "{left}:{right}", name = "", fail_if_key_exists)]
    fn shared(left: &str, right: &str) -> Result<(), Error> {
        Ok(())
    }
    let keys = [
        key_of(|| format("x:y", "z")),
        key_of(|| format("x", "y:z")),
        key_of(|| debug("x")),
        key_of(|| display("x")),
        key_of(|| display("\"x\"")),
    ];
    let distinct: HashSet<&String> = keys.iter().collect();
    assert_eq!(distinct.len(), keys.len(), "{keys:#?}");
    // Python sees the text alone.
    assert_eq!(key_of(|| shared("a:b", "c")), key_of(|| shared("a", "b:c")));
}

#[test]
fn a_lock_on_a_tuple_and_a_function_with_its_parts_have_one_key() {
    #[dspinlock(key = (id, text), name = "", fail_if_key_exists)]
    fn listed(id: u64, text: &str) -> Result<(), Error> {
        Ok(())
    }
    #[dspinlock(name = "", fail_if_key_exists)]
    fn arguments(id: u64, text: &str) -> Result<(), Error> {
        Ok(())
    }
    #[dspinlock(key = pair, name = "", fail_if_key_exists)]
    fn one(pair: &(u64, &str)) -> Result<(), Error> {
        Ok(())
    }
    #[dspinlock(name = "", fail_if_key_exists)]
    fn bytes(first: u8, second: u8, third: u8) -> Result<(), Error> {
        Ok(())
    }
    #[dspinlock(name = "", fail_if_key_exists)]
    fn nothing() -> Result<(), Error> {
        Ok(())
    }
    let key = |lock: HashDSpinlock| lock.key().unwrap();
    let pair = key(HashDSpinlock::new((7_u64, "x")));
    assert_eq!(key_of(|| listed(7, "x")), pair);
    assert_eq!(key_of(|| arguments(7, "x")), pair);
    assert_eq!(key_of(|| one(&(7, "x"))), pair);
    assert_ne!(key_of(|| listed(7, "y")), pair);
    let text = key(HashDSpinlock::new("abc"));
    assert_eq!(key(HashDSpinlock::new((b'a', b'b', b'c'))), text);
    assert_eq!(key_of(|| bytes(b'a', b'b', b'c')), text);
    assert_eq!(key_of(nothing), key(HashDSpinlock::new(())));
}

#[test]
fn keys_are_the_same_in_every_build() {
    #[dspinlock(key = (id, text), name = "golden", fail_if_key_exists)]
    fn named(id: u32, text: &str) -> Result<(), Error> {
        Ok(())
    }
    #[dspinlock(key = "example", name = "", fail_if_key_exists, prefix = "jobs")]
    fn shared() -> Result<(), Error> {
        Ok(())
    }
    // SHA-256 of the canonical bytes, computed by another program. Without `name = ""`, its first 24 bytes in base64url. A `u8` is 21 and its byte, a `u32` 23 and its bytes,
    // a string 6, its length and its bytes. Then follow 0 and the name of the site.
    assert_eq!(
        key_of(|| left::same(1)),
        "dspinlock,arT5Vw-RF2_CH9FZqy9ULhiuOKPXyv7JU"
    );
    assert_eq!(
        key_of(|| named(7, "x")),
        "dspinlock,aS9n9rk-b6LecdyJW6zG8zjE1EBp91Hfh"
    );
    assert_eq!(
        key_of(shared),
        "jobs,50d858e0985ecc7f60418aaf0cc5ab587f42c2570a884095a9e8ccacd0f6545c"
    );
}

/// A release that changes one of these keys loses all values of the release before.
#[test]
fn arguments_of_every_kind_have_pinned_digests() {
    #[dspinlock(skip(T), name = "golden", fail_if_key_exists)]
    fn golden<T: Serialize>(part: T) -> Result<(), Error> {
        Ok(())
    }
    fn digest(part: impl Serialize) -> String {
        key_of(|| golden(&part)).replace("dspinlock,", "")
    }
    #[derive(Serialize)]
    struct Named {
        id: u64,
        name: &'static str,
    }
    #[derive(Serialize)]
    struct Newtype(u8);
    #[derive(Serialize)]
    enum Enum {
        Unit,
        Newtype(u8),
        Tuple(u8, &'static str),
        Struct { id: u8 },
    }
    struct Bytes;
    impl Serialize for Bytes {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(&[0, 1])
        }
    }
    // Computed by another program too. In this order: signed and unsigned integers; floats (a NaN is
    // 7ff8000000000000); other scalars; options; nesting; a map, sorted by the bytes of its keys, length first; a struct;
    // a newtype, which equals its content; the variants of an enum.
    for (found, pinned) in [
        (
            digest((-1_i8, -2_i16, -3_i32, -4_i64, -5_i128)),
            "aGu3mHkPYj7yztUY_OGk3-9LGFn0xQaD4",
        ),
        (
            digest((1_u8, 2_u16, 3_u32, 4_u64, 5_u128)),
            "ab__gb0iPm9LbDqe2omqD8o8T6hYLT6z8",
        ),
        (
            digest((1.5_f32, -0.0_f64, -f64::NAN)),
            "atZ6rYOvyg4rb1sTFhY-QVhhcQAqGl8QP",
        ),
        (
            digest(("é", Bytes, 'é', true)),
            "atchc0clrmpKKwSSNTEaW6tvxXpCFXKFA",
        ),
        (
            digest((None::<u8>, Some(1_u8), Some(None::<u8>))),
            "aze2jaxffVjQz-fj6L2DlwE4MCNljGgxS",
        ),
        (
            digest(((1_u8, 2_u8), [(); 0], ())),
            "aKkohZEK_0jwc1_OHNAdsdlR1WLUFPyQj",
        ),
        (
            digest(HashMap::from([("b", 1_u64), ("a", 2), ("", 3)])),
            "aCxtJhm-hpDgSsMNPv209g0cU8V3gAX3L",
        ),
        (
            digest(Named { id: 1, name: "n" }),
            "as5wBIjhCbw-aKvXQ-G5rP76beUfO9oG_",
        ),
        (digest(Newtype(1)), "aVnBhUbf8IqpRP37SRrcMoR0vquPl_BiC"),
        (digest(Enum::Unit), "a75uatyk1X5fLFuE4Fbe3-zBJmp0XsHRJ"),
        (digest(Enum::Newtype(1)), "aME5vDVQRatSSl2ITjii5vUEORJDdnUTP"),
        (digest(Enum::Tuple(1, "t")), "a1iq9Zn-dHXZIjHsCLn0Do-brv8ozU_vl"),
        (
            digest(Enum::Struct { id: 1 }),
            "aX24c2j8z3BcqW4hOIKpA3Yyx3hubbc4V",
        ),
    ] {
        assert_eq!(found, pinned);
    }
}

#[test]
fn a_key_part_of_any_size_and_content_can_be_locked() {
    for store in Store::each() {
        let pool = Pool::open(&store.url()).unwrap();
        let large = "x".repeat(1 << 20);
        for key in ["", "\0", "a\0b", "{a},b\r\n", &large] {
            let lock = HashDSpinlock::new(key).pool(&pool);
            locked(lock.acquire_blocking()).release_blocking().unwrap();
        }
    }
}
