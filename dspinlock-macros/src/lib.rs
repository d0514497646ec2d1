//! The attribute of the `dspinlock` crate.

mod args;
mod check;
mod duration;
mod expand;
mod fallback;
mod model;
#[cfg(test)]
mod tests;

use proc_macro2::TokenStream;

use crate::args::Args;
use crate::fallback::Mistakes;
use crate::model::Guarded;

/// Runs a function once per key.
#[proc_macro_attribute]
pub fn dspinlock(args: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let item = TokenStream::from(item);
    guard(args.into(), item.clone()).unwrap_or_else(|error| fallback::fallback(&error, &item)).into()
}

fn guard(args: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    let mut mistakes = Mistakes::default();
    let args = Args::parse(args, &mut mistakes);
    let guarded = match Guarded::parse(args, item) {
        Ok(guarded) => guarded,
        Err(error) => {
            mistakes.push(error.clone());
            return mistakes.or(TokenStream::new());
        }
    };
    check::check(&guarded, &mut mistakes);
    mistakes.or(())?;
    Ok(expand::expand(&guarded))
}
