//! The pipeline, from the attribute and the function to the locked function or the errors.
//!
//! The attribute calls it, and so do the unit tests and `fuzz/`, which run without the compiler.

mod entry;
mod shim;

use proc_macro2::TokenStream;

use crate::errors::Errors;
use crate::fallback;
use crate::model::LockedFn;
use crate::parse::Args;
use crate::validate;

/// The function with its body behind the lock. On errors: the errors, and the function unchanged.
pub(crate) fn expand(args: TokenStream, item: TokenStream) -> TokenStream {
    try_expand(args, item.clone()).unwrap_or_else(|error| fallback::expand(&item, &error))
}

/// The function with its body behind the lock.
///
/// # Errors
///
/// Every error of the arguments and of the function, combined.
pub(crate) fn try_expand(args: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    let mut errors = Errors::default();
    let args = Args::parse(args, &mut errors);
    let function = match LockedFn::parse(args, item) {
        Ok(function) => function,
        Err(error) => return Err(errors.and(error)),
    };
    validate::validate(&function, &mut errors);
    errors.finish()?;
    let mut items = shim::write(&function);
    items.extend(entry::write(&function));
    Ok(items)
}
