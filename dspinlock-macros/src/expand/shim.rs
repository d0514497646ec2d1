//! Writes the function with its body behind the lock. It cannot fail.
//!
//! `expand` calls it with a function that is valid. It writes no logic: fixed options become a `static`, the key becomes
//! method calls, and the body keeps its tokens. The runtime does everything else.

use std::time::Duration;

use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Expr, ExprLit, ExprReference, Lit, Token};

use crate::model::{Form, LockedFn};
use crate::parse::{Arg, Args, OnError, Setting, Wait, is_on};

pub(crate) fn write(function: &LockedFn) -> TokenStream {
    let LockedFn {
        attrs,
        vis,
        sig,
        output,
        body,
        form,
        ..
    } = function;
    let call = call(function);
    // The only bound of the shim is on this step: the compiler reports a broken bound at the return type.
    let returning = quote_spanned!(generated_at(output.span())=> .returning::<#output>());
    // Without the early return, the type of the async block is inferred too late for coercions in the body.
    let future = quote! {
        #call #returning.run(async move {
            if false {
                return ::dspinlock::__private::never::<#output>();
            }
            #body
        }).await
    };
    let block = match form {
        Form::Sync => quote!(#call #returning.run_blocking(move || -> #output { #body })),
        Form::Async => future,
        Form::AsyncTrait { prologue } => quote!(::std::boxed::Box::pin(async move { #(#prologue)* #future })),
    };
    quote!(#(#attrs)* #vis #sig { #block })
}

/// The call with its options and its key, in a block, so that temporaries of the key are dropped before the body runs.
fn call(function: &LockedFn) -> TokenStream {
    let options = Options::new(&function.args);
    let site = site(function, &options.fixed);
    let per_call = &options.per_call;
    let cached = function.is_cached().then(|| match function.args.near_cache {
        Some(_) => quote!(.cached_near()),
        None if function.args.is_shared() => quote!(.cached_shared()),
        None => quote!(.cached()),
    });
    let error_policy = error_policy(function);
    let parts = key(function).into_iter().map(part);
    // The steps that change the type of the call move it. They come before the key, because a call with a key is larger.
    let call = quote! {{
        ::dspinlock::__private::Call::new(#site) #cached #error_policy #(#parts)* #per_call
    }};
    match function.form {
        Form::AsyncTrait { .. } => rename_self(call),
        Form::Sync | Form::Async => call,
    }
}

/// The static that describes the function, in a block of its own: the user's expressions do not see its name.
fn site(function: &LockedFn, options: &TokenStream) -> TokenStream {
    let args = &function.args;
    let ident = function.sig.ident.unraw().to_string();
    let name = args.name.iter().map(|name| &name.value);
    let prefix = args.prefix.iter().map(|prefix| &prefix.value);
    let generics = function.generics().filter(|(_, name)| function.skips(name));
    let skipped: Vec<usize> = generics.map(|(position, _)| position).collect();
    let skipped = (!skipped.is_empty()).then(|| quote!(.skipped_generics(&[#(#skipped),*])));
    let fail = is_on(&args.fail_if_key_exists).then(|| quote!(.fail_if_key_exists()));
    quote! {{
        static SITE: ::dspinlock::__private::Site =
            ::dspinlock::__private::Site::new(::core::concat!(::core::module_path!(), "::", #ident))
            #(.name(#name))* #(.prefix(#prefix))* #skipped #fail #options;
        &SITE
    }}
}

/// The expressions that make the key: `key = ...`, or every argument that is not skipped.
fn key(function: &LockedFn) -> Vec<Expr> {
    match &function.args.key {
        Some(key) => key.value.iter().cloned().map(formatted).collect(),
        None => {
            let names = function.names().filter(|name| !function.skips(name));
            names.map(|name| syn::parse_quote!(#name)).collect()
        }
    }
}

/// A string literal is a format string over the arguments; every other expression stays.
fn formatted(expr: Expr) -> Expr {
    match &expr {
        Expr::Lit(ExprLit {
            lit: Lit::Str(format),
            ..
        }) => {
            let at = generated_at(format.span());
            syn::parse_quote_spanned!(at=> ::core::format_args!(#format))
        }
        _ => expr,
    }
}

/// `.part(&expr)`
fn part(expr: Expr) -> TokenStream {
    let at = generated_at(expr.span());
    // A syntax node, not tokens: it puts parentheses around `a + b`.
    let borrowed = Expr::Reference(ExprReference {
        attrs: Vec::new(),
        and_token: Token![&](at),
        mutability: None,
        expr: Box::new(expr),
    });
    quote_spanned!(at=> .part(#borrowed))
}

/// The options as calls of setters, which `Site` and `Call` have under the same names.
#[derive(Default)]
struct Options {
    /// For the site: known at compile time.
    fixed: TokenStream,
    /// For each call.
    per_call: TokenStream,
}

impl Options {
    fn new(args: &Args) -> Self {
        let mut options = Self::default();
        options.count("max_spinlock_tries", &args.max_spinlock_tries);
        options.count("replicas", &args.replicas);
        options.duration("near_cache", &args.near_cache);
        options.duration("spinlock_sleep_thresh", &args.spinlock_sleep_thresh);
        options.wait(&args.wait);
        options.duration("ttl", &args.ttl);
        options.duration("max_block_time", &args.max_block_time);
        options.duration("lease", &args.lease);
        options
    }

    fn count(&mut self, setter: &str, arg: &Option<Arg<Setting<u32>>>) {
        if let Some(arg) = arg {
            self.add(setter, &arg.value, |count| quote!(#count));
        }
    }

    fn duration(&mut self, setter: &str, arg: &Option<Arg<Setting<Duration>>>) {
        if let Some(arg) = arg {
            self.add(setter, &arg.value, constant);
        }
    }

    fn wait(&mut self, arg: &Option<Arg<Wait>>) {
        match arg.as_ref().map(|arg| &arg.value) {
            Some(Wait::AtMost(wait)) => self.add("wait", wait, constant),
            Some(Wait::Forever) => self.fixed.extend(quote!(.wait_forever())),
            None => {}
        }
    }

    fn add<T: Copy>(&mut self, setter: &str, setting: &Setting<T>, constant: fn(T) -> TokenStream) {
        let setter = format_ident!("{setter}");
        match setting {
            Setting::Literal(value, _) => {
                let value = constant(*value);
                self.fixed.extend(quote!(.#setter(#value)));
            }
            Setting::PerCall(expr) => {
                let at = generated_at(expr.span());
                self.per_call.extend(quote_spanned!(at=> .#setter(#expr)));
            }
        }
    }
}

fn constant(duration: Duration) -> TokenStream {
    let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
    quote!(::core::time::Duration::new(#seconds, #nanos))
}

/// `map_err` or `on_error`. Without them a lock error is converted by `From`.
fn error_policy(function: &LockedFn) -> Option<TokenStream> {
    if let Some(map) = &function.args.map_err {
        let map = &map.value;
        return Some(quote_spanned!(generated_at(map.span())=> .map_err(#map)));
    }
    let output = &function.output;
    let method = match function.args.on_error.as_ref()?.value {
        OnError::RunUnlocked => quote!(run_unlocked),
        OnError::Panic => quote!(panic),
    };
    Some(quote!(.#method(::dspinlock::__private::Shape::<#output>::new().kind())))
}

/// The location of the user's tokens, but marked as generated, so that compiler errors point to it and lints ignore it.
fn generated_at(span: Span) -> Span {
    Span::call_site().located_at(span)
}

/// `self` as `__self`, because the prologue of `#[async_trait]` moves it.
fn rename_self(tokens: TokenStream) -> TokenStream {
    let rename = |token| match token {
        TokenTree::Ident(word) if word == "self" => TokenTree::Ident(Ident::new("__self", word.span())),
        TokenTree::Group(group) => {
            let mut renamed = Group::new(group.delimiter(), rename_self(group.stream()));
            renamed.set_span(group.span());
            TokenTree::Group(renamed)
        }
        other => other,
    };
    tokens.into_iter().map(rename).collect()
}
