//! The expansion if there are errors. `expand` calls it. It never changes the function.

use proc_macro2::TokenStream;
use quote::quote;

/// The errors, and the function without the lock, so that its callers compile and cause no further errors.
pub(crate) fn expand(item: &TokenStream, error: &syn::Error) -> TokenStream {
    let errors = error.to_compile_error();
    quote!(#errors #item)
}
