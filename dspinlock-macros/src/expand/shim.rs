//! [`Guarded`] → tokens; cannot fail. Writes no logic: options into a `const`, the key into calls, the body untouched.

use std::time::Duration;

use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Expr, ExprLit, ExprReference, Lit, Token};

use crate::model::{Form, Guarded};
use crate::parse::args::{OnError, Tries, is_on};
use crate::parse::duration::Length;

/// The function, with its body behind the lock.
pub(crate) fn expand(guarded: &Guarded) -> TokenStream {
    let Guarded {
        attrs,
        vis,
        sig,
        output,
        body,
        form,
        ..
    } = guarded;
    let call = call(guarded);
    // The whole step has the span of the return type, where its one bound can be broken.
    let at = derived(output.span());
    let returning = quote_spanned!(at=> .returning::<#output>());
    // Without the early return the type of an async block is inferred too late for coercions in the body.
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

/// Options and key, in a block of their own: no temporary of a key expression lives as long as the body.
fn call(guarded: &Guarded) -> TokenStream {
    let site = site(guarded);
    let parts = parts(guarded).into_iter().map(|part| {
        let at = derived(part.span());
        let borrowed = Expr::Reference(ExprReference {
            attrs: Vec::new(),
            and_token: Token![&](at),
            mutability: None,
            expr: Box::new(part),
        });
        quote_spanned!(at=> .part(#borrowed))
    });
    let per_call = settings(guarded)
        .into_iter()
        .filter_map(|(name, value)| match value {
            Value::PerCall(expr) => Some(quote_spanned!(derived(expr.span())=> .#name(#expr))),
            Value::Fixed(_) => None,
        });
    let cached = guarded.is_cached().then(|| match guarded.args.near_cache {
        Some(_) => quote!(.cached_near()),
        None => quote!(.cached()),
    });
    let carry = carry(guarded);
    // What changes the call's type comes before the key: a call whose key is begun is costly to move.
    let call = quote!({ const { &#site }.call() #cached #carry #(#parts)* #(#per_call)* });
    match guarded.form {
        Form::AsyncTrait { .. } => rename_self(call),
        _ => call,
    }
}

fn site(guarded: &Guarded) -> TokenStream {
    let function = guarded.sig.ident.unraw().to_string();
    let name = guarded.args.name.iter().map(|name| &name.value);
    let prefix = guarded.args.prefix.iter().map(|prefix| &prefix.value);
    let skipped: Vec<usize> = guarded
        .generics()
        .filter(|(_, name)| guarded.skips(name))
        .map(|(position, _)| position)
        .collect();
    let skipped = (!skipped.is_empty()).then(|| quote!(.skipped_generics(&[#(#skipped),*])));
    let fail = is_on(&guarded.args.fail_if_key_exists);
    let fail = fail.then(|| quote!(.fail_if_key_exists()));
    let fixed = settings(guarded)
        .into_iter()
        .filter_map(|(name, value)| match value {
            Value::Fixed(value) => Some(quote!(.#name(#value))),
            Value::PerCall(_) => None,
        });
    quote! {
        ::dspinlock::__private::Site::new(::core::concat!(::core::module_path!(), "::", #function))
            #(.name(#name))* #(.prefix(#prefix))* #skipped #fail #(#fixed)*
    }
}

/// The expressions that make the key.
fn parts(guarded: &Guarded) -> Vec<Expr> {
    match &guarded.args.key {
        Some(key) => key.value.iter().cloned().map(part).collect(),
        None => {
            let counted = guarded.names().filter(|name| !guarded.skips(name));
            counted.map(|name| syn::parse_quote!(#name)).collect()
        }
    }
}

/// A string literal is a format string over the arguments; all else is what it is.
fn part(expr: Expr) -> Expr {
    match &expr {
        Expr::Lit(ExprLit {
            lit: Lit::Str(format),
            ..
        }) => {
            let at = derived(format.span());
            syn::parse_quote_spanned!(at=> ::core::format_args!(#format))
        }
        _ => expr,
    }
}

/// An option that is known now goes into the site; one that is not is set at each call, by a setter of the same name.
enum Value {
    Fixed(TokenStream),
    PerCall(TokenStream),
}

fn settings(guarded: &Guarded) -> Vec<(Ident, Value)> {
    let args = &guarded.args;
    let numbers = [
        ("max_spinlock_tries", &args.max_spinlock_tries),
        ("replicas", &args.replicas),
    ];
    let numbers = numbers
        .into_iter()
        .filter_map(|(name, given)| Some((format_ident!("{name}"), &given.as_ref()?.value)));
    let numbers = numbers.map(|(name, number)| match number {
        Tries::Fixed(number) => (name, Value::Fixed(quote!(#number))),
        Tries::PerCall(expr) => (name, Value::PerCall(quote!(#expr))),
    });
    let lengths = [
        ("near_cache", &args.near_cache),
        ("spinlock_sleep_thresh", &args.spinlock_sleep_thresh),
        ("wait", &args.wait),
        ("ttl", &args.ttl),
        ("max_block_time", &args.max_block_time),
        ("lease", &args.lease),
    ];
    let lengths = lengths
        .into_iter()
        .filter_map(|(name, given)| Some((name, &given.as_ref()?.value)));
    let lengths = lengths.map(|(name, length)| match length {
        Length::Fixed(duration, _) => (format_ident!("{name}"), Value::Fixed(constant(*duration))),
        Length::PerCall(expr) => (format_ident!("{name}"), Value::PerCall(quote!(#expr))),
        Length::Forever => (format_ident!("{name}_forever"), Value::Fixed(TokenStream::new())),
    });
    numbers.chain(lengths).collect()
}

fn constant(duration: Duration) -> TokenStream {
    let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
    quote!(::core::time::Duration::new(#seconds, #nanos))
}

/// What becomes of lock errors, where it is not `From`.
fn carry(guarded: &Guarded) -> Option<TokenStream> {
    let output = &guarded.output;
    if let Some(map) = &guarded.args.map_err {
        let map = &map.value;
        return Some(quote_spanned!(derived(map.span())=> .map_err(#map)));
    }
    let method = match guarded.args.on_error.as_ref()?.value {
        OnError::RunUnlocked => quote!(run_unlocked),
        OnError::Panic => quote!(panic),
    };
    Some(quote!(.#method(::dspinlock::__private::Shape::<#output>::new().kind())))
}

/// The place of the user's tokens for the compiler's messages, but known as generated: lints are for what people wrote.
fn derived(span: Span) -> Span {
    Span::call_site().located_at(span)
}

/// In the prologue of `#[async_trait]`, `self` has moved into `__self`.
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
