//! What is left when the attribute cannot do its work: the errors, and the function as it was, so that its callers
//! raise no errors of their own.

use std::fmt::Display;

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};

/// All that is wrong, so that it can be said at once.
#[derive(Debug, Default)]
pub(crate) struct Mistakes(Option<syn::Error>);

impl Mistakes {
    /// One more mistake, in one sentence that says what would be right.
    pub(crate) fn add(&mut self, culprit: impl ToTokens, sentence: impl Display) {
        self.push(syn::Error::new_spanned(culprit, sentence));
    }

    /// One more mistake that the parser found.
    pub(crate) fn push(&mut self, error: syn::Error) {
        match &mut self.0 {
            Some(first) => first.combine(error),
            none => *none = Some(error),
        }
    }

    /// So far, nothing is wrong.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The value if nothing was wrong.
    pub(crate) fn or<T>(self, value: T) -> syn::Result<T> {
        match self.0 {
            Some(error) => Err(error),
            None => Ok(value),
        }
    }
}

/// The errors, and the untouched function.
pub(crate) fn fallback(error: &syn::Error, item: &TokenStream) -> TokenStream {
    let errors = error.to_compile_error();
    quote!(#errors #item)
}
