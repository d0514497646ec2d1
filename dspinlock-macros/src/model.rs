//! Arguments and function → [`Guarded`]: plain data that keeps its originals for their spans.

pub(crate) mod async_trait;

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::parse::{ParseStream, Parser};
use syn::visit::{self, Visit};
use syn::{
    AttrStyle, Attribute, Expr, FnArg, GenericParam, Pat, ReturnType, Signature, Stmt, Type, Visibility,
};

use crate::parse::args::{Args, is_on};

/// A function with the attribute's arguments.
pub(crate) struct Guarded {
    pub(crate) args: Args,
    /// The function's attributes, and those that stood at the head of its body.
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) vis: Visibility,
    pub(crate) sig: Signature,
    pub(crate) arguments: Vec<Argument>,
    pub(crate) form: Form,
    /// What the body returns.
    pub(crate) output: Type,
    /// The statements of the body; the user's tokens, never parsed.
    pub(crate) body: TokenStream,
}

/// How the body runs.
pub(crate) enum Form {
    Sync,
    Async,
    /// What `#[async_trait]` makes of an async method: `Box::pin(async move { prologue; body })`, where the prologue
    /// binds the arguments and calls the receiver `__self`.
    AsyncTrait {
        prologue: Vec<Stmt>,
    },
}

/// One argument of the function, but not its receiver.
pub(crate) struct Argument {
    /// The names that its pattern binds, in order.
    pub(crate) names: Vec<Ident>,
    /// A part of it that no name stands for, as in `_` or `Point { x, .. }`.
    pub(crate) nameless: Option<TokenStream>,
    /// Under `#[cfg]`: it may not be there.
    pub(crate) cfg: Option<Attribute>,
}

impl Guarded {
    /// Reads a function as far as it must be known.
    pub(crate) fn parse(args: Args, item: TokenStream) -> syn::Result<Self> {
        let no_function = not_a_function(&item);
        let parser = |input: ParseStream| {
            let attrs = input.call(Attribute::parse_outer)?;
            let vis = input.parse()?;
            let sig = input.parse()?;
            Ok((attrs, vis, sig, input.parse::<TokenStream>()?))
        };
        let (mut attrs, vis, sig, rest): (_, _, Signature, _) = parser
            .parse2(item)
            .map_err(|error| no_function.unwrap_or(error))?;
        let (inner, body) = body(rest, &sig)?;
        attrs.extend(inner);
        let mut guarded = Self {
            args,
            attrs,
            vis,
            output: output(&sig),
            arguments: Vec::new(),
            form: Form::Sync,
            body,
            sig,
        };
        guarded.recognise();
        Ok(guarded)
    }

    fn recognise(&mut self) {
        if self.sig.asyncness.is_some() {
            self.form = Form::Async;
        } else if let Some(method) = async_trait::method(&self.sig, &self.body) {
            (self.output, self.body) = (method.output, method.body);
            let prologue = method.prologue;
            self.form = Form::AsyncTrait { prologue };
        }
        let prologue = match &self.form {
            Form::AsyncTrait { prologue } => prologue.as_slice(),
            Form::Sync | Form::Async => &[],
        };
        let inputs = self.sig.inputs.iter();
        self.arguments = inputs.filter_map(|input| argument(input, prologue)).collect();
    }

    /// The positions of the function's own type and const parameters, by name.
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

    /// Whether `skip(...)` names this.
    pub(crate) fn skips(&self, name: &Ident) -> bool {
        self.skipped().any(|skipped| skipped == name)
    }

    /// All names that the arguments bind.
    pub(crate) fn names(&self) -> impl Iterator<Item = &Ident> {
        self.arguments.iter().flat_map(|argument| &argument.names)
    }

    /// Whether values are kept.
    pub(crate) fn is_cached(&self) -> bool {
        is_on(&self.args.cached_if_computed)
    }
}

fn not_a_function(item: &TokenStream) -> Option<syn::Error> {
    let is_fn = |token: &TokenTree| matches!(token, TokenTree::Ident(word) if word == "fn");
    let names_fn = item.clone().into_iter().any(|token| is_fn(&token));
    let first = item
        .clone()
        .into_iter()
        .next()
        .map_or_else(Span::call_site, |token| token.span());
    (!names_fn).then(|| syn::Error::new(first, "`#[dspinlock]` belongs on a function or a method"))
}

/// Splits the body's braces into the attributes at their head and the statements.
fn body(rest: TokenStream, sig: &Signature) -> syn::Result<(Vec<Attribute>, TokenStream)> {
    let parser = |input: ParseStream| {
        let content;
        syn::braced!(content in input);
        let inner = content.call(Attribute::parse_inner)?;
        let outer = inner.into_iter().map(|attr| Attribute {
            style: AttrStyle::Outer,
            ..attr
        });
        Ok((outer.collect(), content.parse()?))
    };
    let no_body = || {
        syn::Error::new(
            sig.ident.span(),
            "there is no body to lock: put `#[dspinlock]` on the implementation",
        )
    };
    parser.parse2(rest).map_err(|_| no_body())
}

fn output(sig: &Signature) -> Type {
    match &sig.output {
        ReturnType::Default => syn::parse_quote_spanned!(sig.ident.span()=> ()),
        ReturnType::Type(_, ty) => ungroup(ty).clone(),
    }
}

/// Out of the invisible parentheses that `macro_rules!` puts around a type it was given.
fn ungroup(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => ungroup(&group.elem),
        ty => ty,
    }
}

fn argument(input: &FnArg, prologue: &[Stmt]) -> Option<Argument> {
    let FnArg::Typed(argument) = input else {
        return None;
    };
    let mut names = Names::default();
    match async_trait::original_pattern(&argument.pat, prologue) {
        Some(Pat::Ident(wild)) => names.nameless = Some(wild.to_token_stream()),
        Some(pat) => names.visit_pat(pat),
        None => names.visit_pat(&argument.pat),
    }
    let cfg = argument.attrs.iter().find(|attr| attr.path().is_ident("cfg"));
    Some(Argument {
        names: names.names,
        nameless: names.nameless,
        cfg: cfg.cloned(),
    })
}

#[derive(Default)]
struct Names {
    names: Vec<Ident>,
    nameless: Option<TokenStream>,
}

impl<'ast> Visit<'ast> for Names {
    fn visit_pat(&mut self, pat: &'ast Pat) {
        match pat {
            Pat::Ident(named) => self.names.push(named.ident.clone()),
            Pat::Wild(_) | Pat::Rest(_) | Pat::Macro(_) | Pat::Verbatim(_) => {
                self.nameless = Some(pat.to_token_stream());
            }
            Pat::Struct(fields) => {
                if let Some(rest) = &fields.rest {
                    self.nameless = Some(rest.to_token_stream());
                }
            }
            _ => {}
        }
        // A name for the whole makes up for what has none inside it.
        let whole = matches!(pat, Pat::Ident(_)).then(|| self.nameless.clone());
        visit::visit_pat(self, pat);
        if let Some(before) = whole {
            self.nameless = before;
        }
    }

    // Constants inside a pattern bind nothing.
    fn visit_expr(&mut self, _: &'ast Expr) {}
}
