//! The way of a function through the rooms, without the compiler around it: `fuzz/` takes it too.

pub(crate) mod shim;

use proc_macro2::TokenStream;

use crate::fallback::Mistakes;
use crate::model::Guarded;
use crate::parse::args::Args;
use crate::validate;

/// The function behind its lock, or all that is wrong with it.
pub(crate) fn expand(args: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    let mut mistakes = Mistakes::default();
    let args = Args::parse(args, &mut mistakes);
    let guarded = match Guarded::parse(args, item) {
        Ok(guarded) => guarded,
        Err(error) => {
            mistakes.push(error.clone());
            return mistakes.or(TokenStream::new());
        }
    };
    validate::validate(&guarded, &mut mistakes);
    mistakes.or(())?;
    Ok(shim::expand(&guarded))
}
