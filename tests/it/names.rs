//! Two functions with one name never share a key in silence, and one function always has one key.

use std::collections::HashSet;
use std::panic::Location;
use std::thread;

use dspinlock::{Error, dspinlock};

use crate::common::store::init_in_memory;

/// Checks that the first function works, and that the second one, with the same name, is refused before it gets a result.
/// The message names both places.
#[track_caller]
fn assert_refused(calls: [&dyn Fn() -> Result<u32, Error>; 2], lines: [u32; 2]) {
    init_in_memory();
    let [first, second] = calls;
    assert_eq!(first().expect("the first function works"), 1);
    for _ in 0..2 {
        let error = second().expect_err("the second function is refused");
        let message = error.to_string();
        assert!(matches!(error, Error::InvalidOption { .. }), "{message}");
        for line in lines {
            let place = format!("{}:{line}:", Location::caller().file());
            assert!(message.contains(&place), "{place} {message}");
        }
        assert!(message.contains("`name = \"...\"`"), "{message}");
        assert_eq!(first().expect("the first function still works"), 1);
    }
}

#[test]
fn two_blocks_of_a_function_do_not_share_results() {
    let first = {
        #[dspinlock(cached_if_computed)]
        fn value() -> Result<u32, Error> {
            Ok(1)
        }
        value
    };
    let (second, line) = {
        #[dspinlock(cached_if_computed)]
        fn value() -> Result<u32, Error> {
            Ok(2)
        }
        (value, line!() - 4)
    };
    assert_refused([&first, &second], [line - 7, line]);
}

/// The message of the second function.
fn refusal_of(first: impl Fn() -> Result<u32, Error>, second: impl Fn() -> Result<u32, Error>) -> String {
    init_in_memory();
    assert_eq!(first().expect("the first function works"), 1);
    second().expect_err("the second function is refused").to_string()
}

#[test]
fn a_macro_that_writes_two_functions_at_one_place_is_named_once() {
    macro_rules! both {
        ($($value:expr),*) => {
            [$({
                #[dspinlock(cached_if_computed)]
                fn written() -> Result<u32, Error> {
                    Ok($value)
                }
                written as fn() -> Result<u32, Error>
            }),*]
        };
    }
    let [first, second] = both!(1, 2);
    let message = refusal_of(first, second);
    assert!(
        message.contains("a macro writes both at tests/it/names.rs:"),
        "{message}"
    );
    assert_eq!(message.matches("names.rs").count(), 1, "{message}");
}

#[test]
fn two_versions_of_one_crate_are_named_as_such() {
    let first = {
        mod shop {
            include!("names/version_1.rs");
        }
        shop::version
    };
    let second = {
        mod shop {
            include!("names/version_2.rs");
        }
        shop::version
    };
    let message = refusal_of(first, second);
    let is_named = message.contains("in two versions (") && message.contains("version_2.rs:");
    assert!(is_named, "{message}");
}

#[test]
fn two_arms_of_a_match_do_not_share_results() {
    let call = |arm: u8| match arm {
        1 => {
            #[dspinlock(cached_if_computed, near_cache = "1m")]
            fn value() -> Result<u32, Error> {
                Ok(1)
            }
            value()
        }
        _ => {
            #[dspinlock(cached_if_computed, near_cache = "1m")]
            fn value() -> Result<u32, Error> {
                Ok(2)
            }
            value()
        }
    };
    let line = line!() - 7;
    assert_refused([&|| call(1), &|| call(2)], [line - 7, line]);
}

macro_rules! value {
    ($value:literal $($name:literal)?) => {{
        #[dspinlock(cached_if_computed, $(name = $name)?)]
        fn value() -> Result<u32, Error> {
            Ok($value)
        }
        value
    }};
}

#[test]
fn two_uses_of_a_macro_do_not_share_results() {
    let first = value!(1);
    let second = value!(2);
    let line = line!() - 2;
    assert_refused([&first, &second], [line, line + 1]);
}

#[test]
fn two_functions_of_one_use_of_a_macro_do_not_share_results() {
    macro_rules! both {
        () => {
            (value!(1), value!(2))
        };
    }
    let (first, second) = both!();
    assert_refused([&first, &second], [line!() - 1, line!() - 1]);
}

#[test]
fn methods_of_two_local_types_of_one_name_do_not_share_results() {
    let first = {
        struct Shop;
        impl Shop {
            #[dspinlock(skip(self), cached_if_computed)]
            fn value(&self) -> Result<u32, Error> {
                Ok(1)
            }
        }
        || Shop.value()
    };
    let (second, line) = {
        struct Shop;
        impl Shop {
            #[dspinlock(skip(self), cached_if_computed)]
            fn value(&self) -> Result<u32, Error> {
                Ok(2)
            }
        }
        (|| Shop.value(), line!() - 5)
    };
    assert_refused([&first, &second], [line - 10, line]);
}

#[test]
fn functions_of_two_closures_do_not_share_results() {
    let first = || {
        #[dspinlock(cached_if_computed)]
        fn value() -> Result<u32, Error> {
            Ok(1)
        }
        value()
    };
    let second = || {
        #[dspinlock(cached_if_computed)]
        fn value() -> Result<u32, Error> {
            Ok(2)
        }
        value()
    };
    let line = line!() - 6;
    assert_refused([&first, &second], [line - 7, line]);
}

#[test]
fn a_job_of_one_name_is_refused_instead_of_skipped() {
    let run = || {
        #[dspinlock(fail_if_key_exists)]
        fn job() -> Result<u32, Error> {
            Ok(1)
        }
        job()
    };
    let never_run = || {
        #[dspinlock(fail_if_key_exists)]
        fn job() -> Result<u32, Error> {
            Ok(2)
        }
        job()
    };
    init_in_memory();
    assert_eq!(run().unwrap(), 1);
    let error = never_run().unwrap_err();
    assert!(matches!(error, Error::InvalidOption { .. }), "{error}");
}

#[test]
fn functions_with_other_names_do_not_share_results() {
    init_in_memory();
    for (call, value) in [
        (value!(1 "names, first") as fn() -> _, 1),
        (value!(2 "names, second"), 2),
    ] {
        for _ in 0..2 {
            let found: Result<u32, Error> = call();
            assert_eq!(found.unwrap(), value);
        }
    }
}

#[test]
fn functions_with_one_given_name_share_results() {
    init_in_memory();
    for call in [value!(1 "names, shared") as fn() -> _, value!(2 "names, shared")] {
        let found: Result<u32, Error> = call();
        assert_eq!(found.unwrap(), 1);
    }
}

trait Value {
    const VALUE: u32;
}

#[dspinlock(cached_if_computed)]
fn of_type<T: Value>() -> Result<u32, Error> {
    Ok(T::VALUE)
}

#[dspinlock(key = id, name = "names, of_type", cached_if_computed)]
fn of_type_with_name<T: Value>(id: u8) -> Result<u32, Error> {
    Ok(T::VALUE + u32::from(id))
}

#[dspinlock(key = id, name = "names, of_type", cached_if_computed)]
fn other_of_type<T: Value>(id: u8) -> Result<u32, Error> {
    Ok(T::VALUE + u32::from(id) + 1)
}

/// Calls the function with two local types of one name.
macro_rules! with_local_types {
    ($function:ident($($argument:expr)?)) => {{
        let first = {
            struct Local;
            impl Value for Local {
                const VALUE: u32 = 1;
            }
            || $function::<Local>($($argument)?)
        };
        let second = {
            struct Local;
            impl Value for Local {
                const VALUE: u32 = 2;
            }
            || $function::<Local>($($argument)?)
        };
        init_in_memory();
        assert_eq!(first().unwrap(), 1);
        for _ in 0..2 {
            let message = second().unwrap_err().to_string();
            assert!(
                message.contains("two local types have the same name"),
                "{message}"
            );
            assert_eq!(first().unwrap(), 1);
        }
    }};
}

#[test]
fn arguments_with_one_type_name_do_not_share_results() {
    with_local_types!(of_type());
}

#[test]
fn arguments_with_one_type_name_do_not_share_results_of_a_given_name() {
    with_local_types!(of_type_with_name(0));
}

#[test]
fn types_with_one_name_share_results_if_the_key_leaves_them_out_or_sites_share_a_name() {
    struct Shared;
    impl Value for Shared {
        const VALUE: u32 = 5;
    }
    struct Holder<T>(T);
    impl<T: Value> Holder<T> {
        #[dspinlock(skip(self), name = "names, Holder::of", cached_if_computed)]
        fn of<U: Value>(&self) -> Result<u32, Error> {
            Ok(T::VALUE + U::VALUE)
        }
    }
    trait Named: Value {
        #[dspinlock(skip(self), name = "names, Named::of", cached_if_computed)]
        fn of<U: Value>(&self) -> Result<u32, Error> {
            Ok(Self::VALUE + U::VALUE)
        }
    }
    impl<T: Value> Named for T {}
    init_in_memory();
    let first = {
        struct Local;
        impl Value for Local {
            const VALUE: u32 = 1;
        }
        [Holder(Local).of::<Shared>(), Local.of::<Shared>()]
    };
    let second = {
        struct Local;
        impl Value for Local {
            const VALUE: u32 = 2;
        }
        [Holder(Local).of::<Shared>(), Local.of::<Shared>()]
    };
    for result in first.into_iter().chain(second) {
        assert_eq!(result.unwrap(), 6);
    }
    assert_eq!(of_type_with_name::<Shared>(3).unwrap(), 8);
    assert_eq!(other_of_type::<Shared>(3).unwrap(), 8);
}

#[dspinlock(key = id, cached_if_computed)]
fn of_closure<F: Fn() -> u32>(id: u8, f: F) -> Result<u32, Error> {
    Ok(f())
}

#[dspinlock(key = id, name = "names, of_named_closure", cached_if_computed)]
fn of_named_closure<F: Fn() -> u32>(id: u8, f: F) -> Result<u32, Error> {
    Ok(f())
}

#[dspinlock(key = id, cached_if_computed)]
async fn of_impl(id: u8, f: impl Fn() -> u32) -> Result<u32, Error> {
    Ok(f())
}

#[dspinlock(key = id, skip(F), cached_if_computed)]
fn of_skipped_closure<F: Fn() -> u32>(id: u8, f: F) -> Result<u32, Error> {
    Ok(f())
}

struct Of<F>(F);

impl<F: Fn() -> u32> Of<F> {
    #[dspinlock(skip(self), cached_if_computed)]
    fn value(&self) -> Result<u32, Error> {
        Ok((self.0)())
    }

    #[dspinlock(skip(self), name = "names, Of::named", cached_if_computed)]
    fn named(&self) -> Result<u32, Error> {
        Ok((self.0)())
    }
}

impl<F: Fn() -> u32> Value for Of<F> {
    const VALUE: u32 = 1;
}

trait Provided: Fn() -> u32 {
    #[dspinlock(skip(self), cached_if_computed)]
    fn provided(&self) -> Result<u32, Error> {
        Ok(self())
    }
}

impl<F: Fn() -> u32> Provided for F {}

#[tokio::test]
async fn a_closure_is_never_part_of_a_key() {
    init_in_memory();
    let closure = || 1;
    for refused in [
        of_closure(1, closure),
        of_named_closure(1, closure),
        of_impl(1, closure).await,
        Of(closure).value(),
        of_type::<Of<fn() -> u32>>().and_then(|_| {
            fn of<F: Fn() -> u32>(_: F) -> Result<u32, Error> {
                of_type::<Of<F>>()
            }
            of(closure)
        }),
        closure.provided(),
    ] {
        let error = refused.unwrap_err();
        assert!(matches!(error, Error::InvalidOption { .. }), "{error}");
        let message = error.to_string();
        let parts = [
            "cannot distinguish closures",
            "`skip` the type parameter",
            "instead of `impl Fn()`",
            "if the closure is in the type of `self`, set `name",
        ];
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    }
    for (accepted, value) in [
        (of_skipped_closure(1, closure), 1),
        (of_skipped_closure(1, || 2), 1),
        (Of(closure).named(), 1),
        (of_closure(1, one), 1),
        (of_closure(1, two), 2),
    ] {
        assert_eq!(accepted.unwrap(), value);
    }
}

fn one() -> u32 {
    1
}

fn two() -> u32 {
    2
}

#[dspinlock(cached_if_computed)]
fn recursive<T, const N: usize>(depth: u32) -> Result<u32, Error> {
    match depth {
        0 => Ok(0),
        _ => Ok(1 + recursive::<T, N>(depth - 1)?),
    }
}

/// A function of this place has many names and is used by many threads, but it is one place.
#[tokio::test]
async fn one_place_is_never_refused() {
    #[dspinlock(key = depth, cached_if_computed, max_spinlock_tries = 100)]
    async fn borrowing(text: &str, depth: u32) -> Result<u32, Error> {
        Ok(text.len() as u32 + depth)
    }
    init_in_memory();
    let all = || {
        assert_eq!(recursive::<u8, 1>(5).unwrap(), 5);
        assert_eq!(recursive::<&str, 1>(5).unwrap(), 5);
        assert_eq!(recursive::<&'static str, 2>(5).unwrap(), 5);
        assert_eq!(of_type::<Of<fn() -> u32>>().unwrap(), 1);
    };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(all);
        }
    });
    for text in ["abc".to_owned(), "abc".into()] {
        assert_eq!(borrowing(&text, 1).await.unwrap(), 4);
        assert_eq!(borrowing("abc", 2).await.unwrap(), 5);
    }
}

#[dspinlock(cached_if_computed)]
fn of_constants<const C: char, const I: i128, const B: bool, const U: u64>()
-> Result<(char, i128, bool, u64), Error> {
    Ok((C, I, B, U))
}

#[dspinlock(skip(C), cached_if_computed)]
fn without_char<T, const C: char, const I: i8>() -> Result<(char, i8), Error> {
    assert!(size_of::<T>() > 0);
    Ok((C, I))
}

#[dspinlock(skip(T, I), cached_if_computed, name = "names, without_number")]
fn without_number<T, const C: char, const I: i8>() -> Result<(char, i8), Error> {
    assert!(size_of::<T>() > 0);
    Ok((C, I))
}

#[test]
fn a_constant_of_every_kind_is_part_of_the_key() {
    init_in_memory();
    macro_rules! check {
        ($($c:literal)*) => {$(
            for _ in 0..2 {
                assert_eq!(of_constants::<$c, 0, true, 0>().unwrap(), ($c, 0, true, 0));
                assert_eq!(of_constants::<$c, 0, false, 0>().unwrap(), ($c, 0, false, 0));
                assert_eq!(of_constants::<$c, -1, true, 0>().unwrap(), ($c, -1, true, 0));
                assert_eq!(of_constants::<$c, { i128::MIN }, true, 0>().unwrap(), ($c, i128::MIN, true, 0));
                assert_eq!(of_constants::<$c, 0, true, { u64::MAX }>().unwrap(), ($c, 0, true, u64::MAX));
                // The first call with the other arguments decides.
                assert_eq!(without_char::<&str, $c, 1>().unwrap(), ('>', 1));
                assert_eq!(without_char::<&str, $c, -1>().unwrap(), ('>', -1));
                assert_eq!(without_number::<u8, $c, 1>().unwrap(), ($c, 1));
                assert_eq!(without_number::<u16, $c, 2>().unwrap(), ($c, 1));
            }
        )*};
    }
    check!('>' '<' ',' '(' ')' '[' '\'' '\\' '"' '_' ' ' '-' '\n' 'é' '\u{301}' '{');
}

#[test]
fn a_sorted_set_has_one_key() {
    #[dspinlock(key = dspinlock::sorted(tags), cached_if_computed)]
    fn count(tags: &HashSet<u32>, first: u32) -> Result<u32, Error> {
        Ok(first)
    }
    init_in_memory();
    let ascending: HashSet<u32> = (0..100).collect();
    let descending: HashSet<u32> = (0..100).rev().collect();
    assert_eq!(count(&ascending, 1).unwrap(), 1);
    assert_eq!(count(&descending, 2).unwrap(), 1);
}
