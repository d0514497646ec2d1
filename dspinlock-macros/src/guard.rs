//! The way of a function through the rooms, without the compiler around it: `fuzz/` takes it too.

use proc_macro2::TokenStream;

use crate::args::Args;
use crate::check;
use crate::expand;
use crate::fallback::Mistakes;
use crate::model::Guarded;

/// The function behind its lock, or all that is wrong with it.
pub(crate) fn guard(args: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
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
