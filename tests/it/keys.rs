//! Which calls share a key, and that a key is the same in every build.

use std::collections::HashSet;

use dspinlock::{Error, dspinlock};

use crate::semantics::in_memory;

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

/// The key of a function with `fail_if_key_exists`: the second call tells it.
fn key_of(call: impl Fn() -> Result<(), Error>) -> String {
    in_memory();
    let _ = call();
    match call().unwrap_err() {
        Error::FailIfKeyExistsIsEnabled { key, .. } => key.to_string(),
        other => panic!("{other}"),
    }
}

#[test]
fn functions_of_one_name_never_share_a_key() {
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
    // SHA-256 of the canonical bytes, made by another program: `u8` is 21 and its byte, `u32` 23 and its bytes, text 6,
    // its length and itself; then 0, then the name.
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
