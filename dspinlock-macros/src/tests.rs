//! What the attribute writes. `UPDATE_EXPECT=1 cargo test -p dspinlock-macros` rewrites the snapshots.

use expect_test::{ExpectFile, expect_file};
use proc_macro2::TokenStream;
use quote::quote;

fn pretty(tokens: TokenStream) -> String {
    prettyplease::unparse(&syn::parse2(tokens).expect("the expansion is Rust"))
}

fn check(args: TokenStream, item: TokenStream, expected: ExpectFile) -> String {
    let expansion = pretty(crate::expand::expand(args, item).expect("nothing is wrong with it"));
    expected.assert_eq(&expansion);
    expansion
}

#[test]
fn async_fn_of_two_arguments() {
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
fn sync_fn() {
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
fn every_argument() {
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
        map_err = Failure::Lock,
    };
    check(args, item, expect_file!["../snapshots/every_argument.rs"]);
}

#[test]
fn near_cache() {
    let item = quote! {
        fn price(id: u64) -> Result<Price, Failure> {
            fetch(id)
        }
    };
    let args = quote!(cached_if_computed, near_cache = "10s", map_err = Failure::Lock);
    check(args, item, expect_file!["../snapshots/near_cache.rs"]);
}

#[test]
fn async_trait_method() {
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
