//! The attribute on arbitrary tokens: the first line has its arguments, the other lines have the function.
//!
//! It never panics, its errors keep the function, and its expansion is Rust if the function is.

#![no_main]

use libfuzzer_sys::fuzz_target;
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use syn::{ImplItemFn, ItemFn, parse2};

use macros::{errors, expand, fallback, limits, model, parse, validate};

#[path = "../../dspinlock-macros/src"]
mod macros {
    pub(crate) mod errors;
    pub(crate) mod expand;
    pub(crate) mod fallback;
    pub(crate) mod limits;
    pub(crate) mod model;
    pub(crate) mod parse;
    pub(crate) mod validate;
}

fuzz_target!(|text: &str| {
    let (args, item) = text.split_once('\n').unwrap_or((text, ""));
    let (Ok(args), Ok(item)) = (args.parse(), item.parse()) else {
        return;
    };
    let (args, item) = (invisible(args), invisible(item));
    match expand::try_expand(args.clone(), item.clone()) {
        // The body keeps its tokens: the expansion is Rust only if the function is.
        Ok(expansion) => assert!(!is_function(&item) || is_function(&expansion), "{expansion}"),
        Err(_) => {
            let expansion = expand::expand(args, item.clone()).to_string();
            assert!(
                expansion.starts_with(":: core :: compile_error ! {"),
                "{expansion}"
            );
            assert!(expansion.ends_with(&item.to_string()), "{expansion}");
        }
    }
});

fn is_function(tokens: &TokenStream) -> bool {
    parse2::<ItemFn>(tokens.clone()).is_ok() || parse2::<ImplItemFn>(tokens.clone()).is_ok()
}

/// Replaces `[[ .. ]]` by an invisible group, such as `macro_rules!` puts around a captured expression.
fn invisible(tokens: TokenStream) -> TokenStream {
    let tokens = tokens.into_iter().map(|token| match token {
        TokenTree::Group(group) => TokenTree::Group(match inner(&group) {
            Some(inner) => Group::new(Delimiter::None, invisible(inner.stream())),
            None => Group::new(group.delimiter(), invisible(group.stream())),
        }),
        other => other,
    });
    tokens.collect()
}

/// The inner group of `[[ .. ]]`.
fn inner(group: &Group) -> Option<Group> {
    let mut tokens = group.stream().into_iter();
    match (tokens.next()?, tokens.next()) {
        (TokenTree::Group(inner), None) => {
            let doubled = [group, &inner].map(Group::delimiter) == [Delimiter::Bracket; 2];
            doubled.then_some(inner)
        }
        _ => None,
    }
}
