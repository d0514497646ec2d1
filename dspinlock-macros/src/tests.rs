//! The expansion against snapshots, and every limit at its border.
//!
//! `UPDATE_EXPECT=1 cargo test -p dspinlock-macros` rewrites the snapshots.

use expect_test::{ExpectFile, expect_file};
use proc_macro2::TokenStream;
use quote::quote;

fn pretty(tokens: TokenStream) -> String {
    prettyplease::unparse(&syn::parse2(tokens).expect("the expansion is Rust"))
}

fn check(args: TokenStream, item: TokenStream, expected: ExpectFile) -> String {
    let expansion = pretty(crate::expand::try_expand(args, item).expect("the function can be locked"));
    expected.assert_eq(&expansion);
    expansion
}

#[test]
fn an_async_fn_gets_a_shim_of_less_than_20_lines() {
    let item = quote! {
        pub async fn price(id: u64, region: &str) -> Result<Price, Failure> {
            let price = fetch(id, region).await?;
            Ok(price)
        }
    };
    let args = quote!(ttl = "500ms", cached_if_computed);
    let expansion = check(args, item.clone(), expect_file!["../snapshots/async_fn.rs"]);
    let shim = expansion.lines().count() - pretty(item).lines().count();
    assert!(shim < 20, "the shim has {shim} lines:\n{expansion}");
}

#[test]
fn a_sync_fn_runs_its_body_in_a_closure() {
    let item = quote! {
        #[must_use]
        fn price(mut id: u64, (a, b): (u8, u8)) {
            #![allow(unused)]
            id += 1;
        }
    };
    check(
        quote!(on_error = panic),
        item,
        expect_file!["../snapshots/sync_fn.rs"],
    );
}

#[test]
fn every_argument_becomes_a_setter() {
    let item = quote! {
        async fn price<T: Serialize, const N: usize>(&self, user: T) -> Result<T, Failure> {
            Ok(user)
        }
    };
    let args = quote! {
        key = (self.id, "user:{user}", a + b),
        skip(N),
        name = "price",
        prefix = "shop",
        cached_if_computed,
        fail_if_key_exists,
        spinlock_sleep_thresh = "1m1s1ms",
        wait = forever,
        ttl = self.ttl(&user),
        max_block_time = "1m",
        lease = "5s",
        replicas = 1,
        map_err = Failure::Lock,
    };
    check(args, item, expect_file!["../snapshots/every_argument.rs"]);
}

#[test]
fn results_decide_how_long_they_are_kept_in_closures_of_the_shim() {
    let item = quote! {
        async fn pay(id: u64, amount: u64, currency: &str) -> Result<Option<u64>, Failure> {
            charge(id, amount).await
        }
    };
    let args = quote! {
        key = id,
        version = 2,
        label = "order:{id}",
        validate = (amount, "{currency}"),
        cached_if_computed,
        ttl = |value| value.map(Duration::from_secs),
        err_ttl = "1s",
        on_busy = skip,
        pool = &POOL,
    };
    check(args, item, expect_file!["../snapshots/steered.rs"]);
}

#[test]
fn an_entry_is_a_function_without_the_body() {
    let item = quote! {
        #[cfg(unix)]
        #[must_use]
        pub(crate) fn price<T: Serialize>(&self, mut id: T) -> Result<u64, Failure> {
            id.reset();
            Ok(0)
        }
    };
    let args = quote!(
        key = (self.tenant()?, &id),
        cached_if_computed,
        entry = price_entry
    );
    check(args, item, expect_file!["../snapshots/entry.rs"]);
}

#[test]
fn validated_values_have_a_stable_order() {
    for (args, is_valid) in [
        ("key = id, validate = tags", false),
        ("key = id, validate = (id, &tags)", false),
        ("key = id, validate = dspinlock::sorted(&tags)", true),
        ("key = id, validate = tags.len()", true),
    ] {
        let item = quote!(
            fn price(id: u64, tags: HashSet<u64>) {}
        );
        let args = args.parse().expect("tokens");
        let error = crate::expand::try_expand(args, item).err();
        assert_eq!(error.is_none(), is_valid);
        let advice =
            "another check, in every process: use a `BTreeSet`, or `validate = dspinlock::sorted(&tags)`";
        assert!(error.is_none_or(|error| error.to_string().contains(advice)));
    }
}

#[test]
fn a_near_cache_is_a_setter_and_a_type() {
    let item = quote! {
        fn price(id: u64) -> Result<Price, Failure> {
            fetch(id)
        }
    };
    let args = quote!(cached_if_computed, near_cache = "10s", map_err = Failure::Lock);
    check(args, item, expect_file!["../snapshots/near_cache.rs"]);
}

#[test]
fn an_async_trait_method_keeps_its_prologue() {
    let item = quote! {
        fn price<'life0, 'async_trait>(
            &'life0 self,
            __arg1: (u64, u64),
        ) -> ::core::pin::Pin<Box<dyn ::core::future::Future<Output = Result<u64, Failure>> + Send + 'async_trait>>
        where
            'life0: 'async_trait,
            Self: 'async_trait,
        {
            Box::pin(async move {
                if let ::core::option::Option::Some(__ret) = ::core::option::Option::None::<Result<u64, Failure>> {
                    #[allow(unreachable_code)]
                    return __ret;
                }
                let __self = self;
                let (a, b) = {
                    let __arg1 = __arg1;
                    __arg1
                };
                let __ret: Result<u64, Failure> = {
                    Ok(__self.base + a + b)
                };
                #[allow(unreachable_code)]
                __ret
            })
        }
    };
    check(
        quote!(key = (self.id, a)),
        item,
        expect_file!["../snapshots/async_trait_method.rs"],
    );
}

fn is_accepted(args: &str) -> bool {
    let args = args.parse().expect("tokens");
    let item = quote!(
        fn price(id: u64) {}
    );
    crate::expand::try_expand(args, item).is_ok()
}

#[test]
fn a_literal_at_a_limit_is_accepted() {
    for args in [
        r#"ttl = "36600d", cached_if_computed"#,
        r#"ttl = "1ns", fail_if_key_exists"#,
        r#"ttl = "1s", name = "", key = id"#,
        r#"ttl = valid(), cached_if_computed"#,
        r#"spinlock_sleep_thresh = "1ns""#,
        r#"spinlock_sleep_thresh = "36600d""#,
        r#"max_block_time = "36600d""#,
        r#"max_block_time = "100ms""#,
        r#"wait = forever"#,
        r#"wait = "0s""#,
        r#"wait = "36600d""#,
        r#"lease = "100ms""#,
        r#"lease = "30m""#,
        r#"lease = "100ms", max_block_time = "100ms""#,
        r#"lease = "31m", max_block_time = limit()"#,
        r#"lease = "36600d", max_block_time = "36600d""#,
        r#"near_cache = "36600d", ttl = "36600d", cached_if_computed"#,
        r#"near_cache = "1ns", cached_if_computed"#,
        r#"near_cache = "1h", cached_if_computed"#,
        r#"near_cache = "2h", ttl = valid(), cached_if_computed"#,
        r#"near_cache = age(), ttl = "1s", cached_if_computed"#,
        "replicas = 0",
        "replicas = 4294967295",
        "version = 0",
        "version = 4294967295",
        r#"err_ttl = "0s", cached_if_computed"#,
        r#"err_ttl = "36600d", cached_if_computed"#,
        "err_ttl = secs(), cached_if_computed",
        "err_ttl = |_| None, cached_if_computed",
        "ttl = |_| None, cached_if_computed",
        "ttl = |id| Some(*id), cached_if_computed",
        "ttl = |value| Some(value.id), cached_if_computed",
        r#"ttl = |_| None, fail_if_key_exists"#,
        r#"near_cache = "2h", ttl = |_| None, cached_if_computed"#,
        "on_busy = skip",
        r#"on_busy = skip, wait = "1s""#,
        r#"on_busy = skip, fail_if_key_exists"#,
        r#"label = "user""#,
        r#"label = "user:{id:>4}""#,
        r#"label = "{{x}}""#,
        "key = id, validate = id",
        r#"key = id, validate = "{id:?}""#,
        r#"key = id, validate = ("user", id)"#,
        "key = id, validate = LIMIT",
        "key = id, validate = id, on_error = panic",
        "entry = price_entry",
        "pool = pool()",
        "cached_if_computed = false",
        "max_spinlock_tries = 1",
        "max_spinlock_tries = 4294967295",
        r#"prefix = "a""#,
        r#"prefix = "a b:c""#,
        &format!(r#"prefix = "{}""#, "a".repeat(64)),
    ] {
        assert!(is_accepted(args), "{args}");
    }
}

#[test]
fn a_literal_beyond_a_limit_is_refused() {
    for args in [
        r#"ttl = "0s", cached_if_computed"#,
        r#"ttl = "36600d1ns", cached_if_computed"#,
        r#"ttl = "1s""#,
        "ttl = valid()",
        r#"ttl = "1s", cached_if_computed = false"#,
        r#"ttl = "1s", name = "price""#,
        r#"wait = "36600d1ns""#,
        r#"spinlock_sleep_thresh = "0s""#,
        r#"spinlock_sleep_thresh = "36601d""#,
        r#"lease = "0s""#,
        r#"lease = "99ms999us""#,
        r#"lease = "30m1ns""#,
        r#"lease = "2s", max_block_time = "1s""#,
        r#"max_block_time = "0s""#,
        r#"max_block_time = "99ms""#,
        r#"max_block_time = "36601d""#,
        r#"near_cache = "0s", cached_if_computed"#,
        r#"near_cache = "36601d", ttl = "36600d", cached_if_computed"#,
        r#"near_cache = "36600d1ns", ttl = "36600d", cached_if_computed"#,
        r#"near_cache = "1h1ns", cached_if_computed"#,
        r#"near_cache = "2s", ttl = "1s", cached_if_computed"#,
        r#"near_cache = "2s", expire_at_timedelta = "1s", cached_if_computed"#,
        r#"near_cache = "1s""#,
        r#"max_block_time = "36600d1ns""#,
        r#"lease = "36600d1ns", max_block_time = "36600d""#,
        r#"wait = "forever""#,
        "wait = none",
        "replicas = 4294967296",
        "version = 4294967296",
        "version = id",
        r#"err_ttl = "36600d1ns", cached_if_computed"#,
        r#"err_ttl = "1s""#,
        r#"err_ttl = "1s", fail_if_key_exists, cached_if_computed"#,
        "ttl = |_| None",
        "ttl = |_| Some(id), cached_if_computed",
        "ttl = |_| self.ttl, cached_if_computed",
        "err_ttl = |_| Some(id), cached_if_computed",
        "on_busy = wait",
        "on_busy = skip, wait = forever",
        r#"label = "{x}""#,
        r#"label = "{self}""#,
        r#"label = "{}""#,
        "validate = id",
        "key = id, validate = id, on_error = run_unlocked",
        "key = id, validate = ()",
        r#"key = id, validate = "eur""#,
        r#"key = id, validate = ("id", 1)"#,
        r#"key = id, validate = "{other}""#,
        "entry = price",
        r#"entry = "price_entry""#,
        r#"name = "", version = 1"#,
        r#"name = "", label = "{id}""#,
        r#"name = "", key = id, validate = id"#,
        r#"name = "", err_ttl = "1s", cached_if_computed"#,
        r#"name = "", ttl = |_| None"#,
        "skip()",
        "max_spinlock_tries = 0",
        "max_spinlock_tries = 4294967296",
        r#"prefix = """#,
        r#"prefix = "a,b""#,
        r#"prefix = "{a""#,
        r#"prefix = "a}""#,
        r#"prefix = "a\n""#,
        r#"prefix = "\u{85}""#,
        &format!(r#"prefix = "{}""#, "a".repeat(65)),
        &format!(r#"prefix = "{}""#, "é".repeat(33)),
    ] {
        assert!(!is_accepted(args), "{args}");
    }
}
