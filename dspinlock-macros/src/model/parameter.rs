//! One parameter of the function: the names that its pattern binds, and the parts of the pattern without a name. `model`
//! calls it.

use proc_macro2::{Ident, TokenStream};
use quote::ToTokens;
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, FnArg, ParenthesizedGenericArguments, Pat, Stmt, Type, TypeFnPtr, TypeReference};

use crate::model::async_trait;

/// A parameter other than the receiver.
pub(crate) struct Parameter {
    /// The names that the pattern binds, in order.
    pub(crate) names: Vec<Ident>,
    /// A part of the pattern that binds no name, as in `_` or `Point { x, .. }`.
    pub(crate) unnamed: Option<TokenStream>,
    /// The first `&mut` type in the type of the parameter.
    pub(crate) mutable: Option<TypeReference>,
    /// The `#[cfg]` attribute of the parameter.
    pub(crate) cfg: Option<Attribute>,
}

impl Parameter {
    /// `None` for a receiver. The prologue has the patterns that `#[async_trait]` moved into the body.
    pub(crate) fn new(input: &FnArg, prologue: &[Stmt]) -> Option<Self> {
        let FnArg::Typed(typed) = input else {
            return None;
        };
        let mut names = Names::default();
        match async_trait::original_pattern(&typed.pat, prologue) {
            Some(Pat::Ident(wild)) => names.unnamed = Some(wild.to_token_stream()),
            Some(pat) => names.visit_pat(pat),
            None => names.visit_pat(&typed.pat),
        }
        let cfg = typed.attrs.iter().find(|attr| attr.path().is_ident("cfg"));
        Some(Self {
            names: names.names,
            unnamed: names.unnamed,
            mutable: mutable_reference(&typed.ty),
            cfg: cfg.cloned(),
        })
    }
}

/// The first `&mut` type inside of `ty` that borrows a value of the caller.
fn mutable_reference(ty: &Type) -> Option<TypeReference> {
    #[derive(Default)]
    struct Find(Option<TypeReference>);
    impl<'ast> Visit<'ast> for Find {
        fn visit_type_reference(&mut self, ty: &'ast TypeReference) {
            if ty.mutability.is_some() {
                self.0.get_or_insert_with(|| ty.clone());
            }
            visit::visit_type_reference(self, ty);
        }

        // The argument of a function is not a value of the caller.
        fn visit_type_fn_ptr(&mut self, _: &'ast TypeFnPtr) {}
        fn visit_parenthesized_generic_arguments(&mut self, _: &'ast ParenthesizedGenericArguments) {}
    }
    let mut find = Find::default();
    find.visit_type(ty);
    find.0
}

#[derive(Default)]
struct Names {
    names: Vec<Ident>,
    unnamed: Option<TokenStream>,
}

impl<'ast> Visit<'ast> for Names {
    fn visit_pat(&mut self, pat: &'ast Pat) {
        let before = self.unnamed.clone();
        match pat {
            Pat::Ident(named) => self.names.push(named.ident.clone()),
            Pat::Wild(_) | Pat::Rest(_) | Pat::Macro(_) | Pat::Verbatim(_) => {
                self.unnamed = Some(pat.to_token_stream());
            }
            Pat::Struct(fields) => {
                if let Some(rest) = &fields.rest {
                    self.unnamed = Some(rest.to_token_stream());
                }
            }
            _ => {}
        }
        visit::visit_pat(self, pat);
        // In `all @ (_, b)` the name `all` includes the unnamed parts.
        if matches!(pat, Pat::Ident(_)) {
            self.unnamed = before;
        }
    }

    // A constant inside a pattern binds no name.
    fn visit_expr(&mut self, _: &'ast Expr) {}
}
