//! The attribute of the `dspinlock` crate: use it through that crate, which re-exports and documents it.
//!
//! The pipeline, in the order of the files: `parse` reads the tokens between the parentheses, `model` adds the
//! function, `validate` refuses what cannot be locked, and `expand` writes the function with its body behind the lock.
//! If there are errors, `fallback` writes the function without the lock. Imports go downwards only: `expand`,
//! `fallback`, `validate`, `model`, `parse`, then `limits` and `errors`.

mod errors;
mod expand;
mod fallback;
mod limits;
mod model;
mod parse;
#[cfg(test)]
mod tests;
mod validate;

use proc_macro::TokenStream;

/// Runs a function once per key across every thread, process and host that share a store. The first caller acquires
/// the lock and computes; callers that arrive in the meantime wait. The manual, with every argument, is the page of
/// the attribute in the crate [`dspinlock`](https://docs.rs/dspinlock/latest/dspinlock/attr.dspinlock.html).
#[proc_macro_attribute]
pub fn dspinlock(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::expand(args.into(), item.into()).into()
}
