//! The expansion if there are errors. `expand` calls it.

use proc_macro2::TokenStream;
use quote::quote;

/// The errors, and the function without the lock: its callers compile, and raise no errors of their own.
pub(crate) fn expand(item: &TokenStream, error: &syn::Error) -> TokenStream {
    let errors = error.to_compile_error();
    quote!(#errors #item)
}
