//! Collects the errors of one attribute, so that the compiler reports all of them at once.
//!
//! `parse` and `validate` add errors, and `expand` returns them. This module never panics.

use std::fmt::Display;
use std::mem;

use quote::ToTokens;

/// All errors so far.
#[derive(Debug, Default)]
pub(crate) struct Errors(Option<syn::Error>);

impl Errors {
    /// Adds an error at the span of `tokens`. The message is one sentence: what is wrong, why, and what to do.
    pub(crate) fn add(&mut self, tokens: impl ToTokens, message: impl Display) {
        self.push(syn::Error::new_spanned(tokens, message));
    }

    /// Adds an error of the parser.
    pub(crate) fn push(&mut self, error: syn::Error) {
        self.0 = Some(mem::take(self).and(error));
    }

    /// Combines all errors so far with `error`.
    pub(crate) fn and(self, error: syn::Error) -> syn::Error {
        match self.0 {
            Some(mut first) => {
                first.combine(error);
                first
            }
            None => error,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Fails if there are errors.
    pub(crate) fn finish(self) -> syn::Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}

/// Fails with an error at the span of `tokens`.
pub(crate) fn fail<T>(tokens: impl ToTokens, message: impl Display) -> syn::Result<T> {
    Err(syn::Error::new_spanned(tokens, message))
}
