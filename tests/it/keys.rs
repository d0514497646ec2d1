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
fn keys_are_the_same_in_every_build() {
    #[dspinlock(key = (id, text), name = "golden", fail_if_key_exists)]
    fn named(id: u32, text: &str) -> Result<(), Error> {
        Ok(())
    }
    #[dspinlock(key = "example", name = "", fail_if_key_exists, prefix = "jobs")]
    fn shared() -> Result<(), Error> {
        Ok(())
    }
    // SHA-256 of the canonical bytes, computed by another program. A `u8` is 21 and its byte, a `u32` 23 and its bytes,
    // a string 6, its length and its bytes. Then follow 0 and the name of the site.
    assert_eq!(
        key_of(|| left::same(1)),
        "dspinlock,ad3e55c3e445dbf087f4566acbd50b862b8e28f5f2bfb2543f3157f674532496"
    );
    assert_eq!(
        key_of(|| named(7, "x")),
        "dspinlock,4bd9fdae4f9be8b79c772256eb31bcce3135101a7dd477e1cb78066421d7f29c"
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
            "1aede61e43d88fbcb3b5463f386937fbd2c6167d3141a0f83325a01aa4fe4b53",
        ),
        (
            digest((1_u8, 2_u16, 3_u32, 4_u64, 5_u128)),
            "6fffe06f488f9bd2db0ea7b6a26a83f28f13ea160b4facfcec72498ce9ba7c81",
        ),
        (
            digest((1.5_f32, -0.0_f64, -f64::NAN)),
            "b59eab60ebf2838adbd6c4c5858f9056185c400a8697c40fc3b4d1e2f9483960",
        ),
        (
            digest(("é", Bytes, 'é', true)),
            "b5c85cd1c96b9a928ac1248d4c4696eadbf15e90855ca1405daa7caff35ca3b1",
        ),
        (
            digest((None::<u8>, Some(1_u8), Some(None::<u8>))),
            "cdeda36b17df563433f9f8fa2f60e5c04e0c08d9631a0c523e9b1de677542e80",
        ),
        (
            digest(((1_u8, 2_u8), [(); 0], ())),
            "2a4a216442bfd23c1cd7f38734076c76547558b5053f24231acf4df65f571b44",
        ),
        (
            digest(HashMap::from([("b", 1_u64), ("a", 2), ("", 3)])),
            "0b1b49866fa1a43812b0c34fbf6d3d834714f15de0017dcb480eb9251237180d",
        ),
        (
            digest(Named { id: 1, name: "n" }),
            "b39c012238426f0f9a2af5d0f86e6b3fbe9b7947cef681bf902a7dcc202d700b",
        ),
        (
            digest(Newtype(1)),
            "56706151b7fc22aa513f7ed246b70ca11d2faae3e5fc1882b6c482c1d03ce55c",
        ),
        (
            digest(Enum::Unit),
            "ef9b9ab729355f97cb16e13815b7b7fb30499a9d17b07449f9bea450396c3169",
        ),
        (
            digest(Enum::Newtype(1)),
            "304e6f0d54116ad4929762138e28b9bd410e4490dd9d44cf763cc8b7cfe923c8",
        ),
        (
            digest(Enum::Tuple(1, "t")),
            "d62abd667f9d1d76488c7b022e7d03a3e6ebbfca3353fbe5fd22ffb9115f1c20",
        ),
        (
            digest(Enum::Struct { id: 1 }),
            "5f6e1cda3f33dc172a5b884e20aa40dd8cb1de1b9b6dce155c6d5c74e4a7b6ea",
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
