//! The annotated function: its arguments and signature as data, its body as tokens.
//!
//! `expand` calls it; `validate` and the shim read the result. It keeps the user's tokens, because errors need their spans.
//! It refuses only what it cannot parse.

mod async_trait;
mod parameter;

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use syn::parse::{ParseStream, Parser};
use syn::{AttrStyle, Attribute, GenericParam, ReturnType, Signature, Stmt, Type, Visibility};

use crate::errors::fail;
use crate::model::parameter::Parameter;
use crate::parse::{Args, is_on};

/// A function with the attribute's arguments.
pub(crate) struct LockedFn {
    pub(crate) args: Args,
    /// The outer attributes, and the inner attributes of the body.
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) vis: Visibility,
    pub(crate) sig: Signature,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) form: Form,
    /// The type that the body returns.
    pub(crate) output: Type,
    /// The statements of the body. They are never parsed.
    pub(crate) body: TokenStream,
    /// The braces of the function.
    pub(crate) braces: Span,
}

/// How the body runs.
pub(crate) enum Form {
    Sync,
    Async,
    /// An async method after `#[async_trait]`: `Box::pin(async move { prologue; body })`. The prologue binds the
    /// parameters, and the receiver as `__self`.
    AsyncTrait {
        prologue: Vec<Stmt>,
    },
}

impl LockedFn {
    /// Reads the signature, and splits off the body.
    pub(crate) fn parse(args: Args, item: TokenStream) -> syn::Result<Self> {
        require_fn(&item)?;
        let parser = |input: ParseStream| {
            let attrs = input.call(Attribute::parse_outer)?;
            let vis = input.parse()?;
            let sig = input.parse()?;
            Ok((attrs, vis, sig, input.parse::<TokenStream>()?))
        };
        let (mut attrs, vis, sig, rest): (_, _, Signature, _) = parser.parse2(item)?;
        let Body {
            attrs: inner,
            braces,
            body,
        } = split_body(rest, &sig)?;
        attrs.extend(inner);
        let (form, output, body) = form(&sig, body);
        let prologue = match &form {
            Form::AsyncTrait { prologue } => prologue.as_slice(),
            Form::Sync | Form::Async => &[],
        };
        let inputs = sig.inputs.iter();
        let parameters = inputs.filter_map(|input| Parameter::new(input, prologue));
        Ok(Self {
            args,
            attrs,
            vis,
            parameters: parameters.collect(),
            form,
            output,
            body,
            braces,
            sig,
        })
    }

    /// The function's own type and const parameters, with their positions.
    pub(crate) fn generics(&self) -> impl Iterator<Item = (usize, &Ident)> {
        let named = self.sig.generics.params.iter().filter_map(|param| match param {
            GenericParam::Type(param) => Some(&param.ident),
            GenericParam::Const(param) => Some(&param.ident),
            GenericParam::Lifetime(_) => None,
        });
        named.enumerate()
    }

    /// The names in `skip(...)`.
    pub(crate) fn skipped(&self) -> impl Iterator<Item = &Ident> + Clone {
        self.args.skip.iter().flat_map(|skip| &skip.value)
    }

    pub(crate) fn skips(&self, name: &Ident) -> bool {
        self.skipped().any(|skipped| skipped == name)
    }

    /// The names that the parameters bind.
    pub(crate) fn names(&self) -> impl Iterator<Item = &Ident> {
        self.parameters.iter().flat_map(|parameter| &parameter.names)
    }

    pub(crate) fn is_cached(&self) -> bool {
        is_on(&self.args.cached_if_computed)
    }
}

/// Fails unless some token is `fn`. The error is at the first token. A function with a syntax error passes this check, and
/// gets the error of the parser.
fn require_fn(item: &TokenStream) -> syn::Result<()> {
    let is_fn = |token| matches!(token, TokenTree::Ident(word) if word == "fn");
    if item.clone().into_iter().any(is_fn) {
        return Ok(());
    }
    let first = item.clone().into_iter().next();
    fail(first, "`#[dspinlock]` can be used only on a function or a method")
}

/// What the braces of the function contain.
struct Body {
    /// The inner attributes, converted to outer attributes.
    attrs: Vec<Attribute>,
    braces: Span,
    body: TokenStream,
}

fn split_body(rest: TokenStream, sig: &Signature) -> syn::Result<Body> {
    let parser = |input: ParseStream| {
        let content;
        let braces = syn::braced!(content in input);
        let inner = content.call(Attribute::parse_inner)?;
        let outer = inner.into_iter().map(|attr| Attribute {
            style: AttrStyle::Outer,
            ..attr
        });
        Ok(Body {
            attrs: outer.collect(),
            braces: braces.span.join(),
            body: content.parse()?,
        })
    };
    let no_body = "a method without a body cannot be locked: put `#[dspinlock]` on its implementation";
    parser.parse2(rest).or_else(|_| fail(&sig.ident, no_body))
}

/// The form of the function, the type that its body returns, and its body.
fn form(sig: &Signature, body: TokenStream) -> (Form, Type, TokenStream) {
    if sig.asyncness.is_some() {
        return (Form::Async, output(sig), body);
    }
    match async_trait::method(sig, &body) {
        Some(method) => {
            let prologue = method.prologue;
            (Form::AsyncTrait { prologue }, method.output, method.body)
        }
        None => (Form::Sync, output(sig), body),
    }
}

fn output(sig: &Signature) -> Type {
    match &sig.output {
        ReturnType::Default => syn::parse_quote_spanned!(sig.ident.span()=> ()),
        ReturnType::Type(_, ty) => ungroup(ty).clone(),
    }
}

/// Removes the invisible group that `macro_rules!` puts around a captured type.
fn ungroup(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => ungroup(&group.elem),
        ty => ty,
    }
}
