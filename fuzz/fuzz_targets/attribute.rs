//! The attribute on whatever tokens a text has: its arguments in the first line, what it stands on in the others.

#![no_main]

use libfuzzer_sys::fuzz_target;
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use syn::{ImplItemFn, ItemFn, parse2};

use macros::{expand, fallback, model, parse, validate};

#[path = "../../dspinlock-macros/src"]
mod macros {
    pub(crate) mod expand;
    pub(crate) mod fallback;
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
    match expand::expand(args, item.clone()) {
        // The body is spliced as it is: only of Rust comes Rust.
        Ok(expansion) => assert!(!is_function(&item) || is_function(&expansion), "{expansion}"),
        Err(error) => {
            let left = fallback::fallback(&error, &item).to_string();
            assert!(left.starts_with(":: core :: compile_error ! {") && left.ends_with(&item.to_string()));
        }
    }
});

fn is_function(tokens: &TokenStream) -> bool {
    parse2::<ItemFn>(tokens.clone()).is_ok() || parse2::<ImplItemFn>(tokens.clone()).is_ok()
}

/// Writes `[[ .. ]]` with the delimiters that nobody sees, which `macro_rules!` puts around what it was given.
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

/// The only thing in brackets, if it is in brackets too.
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
