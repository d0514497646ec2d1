//! Writes the function with its body behind the lock. It cannot fail.
//!
//! `expand` calls it with a function that is valid. It writes no logic: fixed options become a `static`, the key becomes
//! method calls, and the body keeps its tokens. The runtime does everything else.

use std::time::Duration;

use proc_macro2::{Delimiter, Group, Ident, Literal, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Expr, ExprLit, ExprReference, Lit, LitStr, Token};

use crate::model::{Form, LockedFn};
use crate::parse::{self, Arg, Args, OnError, Setting, Wait, is_on};

pub(crate) fn write(function: &LockedFn) -> TokenStream {
    let LockedFn {
        attrs,
        vis,
        sig,
        output,
        body,
        braces,
        form,
        ..
    } = function;
    let call = call(function, None);
    // Errors and lints of these tokens point to the function, as they do without the attribute.
    let at_name = generated_at(sig.ident.span());
    let at_output = generated_at(output.span());
    let returning = returning(function);
    let private = private(&function.args, at_output);
    // Without the early return, the type of the async block is inferred too late for coercions in the body.
    let early_return = quote_spanned!(at_output=> if false { return #private::never::<#output>(); });
    let async_body = in_braces(quote!(#early_return #body), generated_at(*braces));
    let run = match (is_on(&function.args.detach), &function.args.on_lease_lost) {
        (true, _) => quote_spanned!(at_name=> run_detached),
        (false, Some(_)) => quote_spanned!(at_name=> run_cancelled),
        (false, None) => quote_spanned!(at_name=> run),
    };
    let future = quote_spanned!(at_name=> #call #returning.#run(async move #async_body).await);
    let block = match form {
        Form::Sync => {
            let body = in_braces(body.clone(), generated_at(*braces));
            quote_spanned!(at_name=> #call #returning.run_blocking(move || -> #output #body))
        }
        Form::Async => future,
        Form::AsyncTrait { prologue } => {
            quote_spanned!(at_name=> ::std::boxed::Box::pin(async move { #(#prologue)* #future }))
        }
    };
    // With the braces of the user, the item is not generated code: `dead_code` and clippy see it.
    let block = in_braces(block, *braces);
    quote!(#(#attrs)* #vis #sig #block)
}

/// The step that names the return type.
pub(super) fn returning(function: &LockedFn) -> TokenStream {
    let output = &function.output;
    let at = generated_at(output.span());
    let step = match function.is_cached() && function.args.is_shared() {
        true => quote_spanned!(at=> returning_no_value),
        false => quote_spanned!(at=> returning),
    };
    let keeping = keeping(function);
    // The compiler reports a broken bound of this step at its receiver or its name: both have the span of the return type.
    quote_spanned!(at=> .#step::<#output>() #keeping)
}

/// `ttl = |value| ...` and `err_ttl = ...`: the user's closures inside of others, which find the value or the error.
fn keeping(function: &LockedFn) -> Option<TokenStream> {
    let LockedFn { args, output, .. } = function;
    // The compiler reports each broken bound once, because all of these tokens have the span of the return type.
    let at_output = generated_at(output.span());
    let ttl = args.ttl.as_ref().and_then(|ttl| ttl.value.closure());
    let ttl = ttl.map(|closure| {
        let at = generated_at(closure.span());
        let private = private(args, at);
        quote_spanned!(at=> .ttl(|outcome| #private::ttl(outcome, #private::Shape::<#output>::new().kind(), #closure)))
    });
    let err_ttl = args.err_ttl.as_ref().map(|err_ttl| {
        let private = private(args, at_output);
        let closure = match &err_ttl.value {
            Setting::Literal(duration, _) => {
                let duration = constant(*duration);
                quote_spanned!(at_output=> |_| #duration)
            }
            Setting::PerCall(_) => match err_ttl.value.closure() {
                Some(closure) => closure.to_token_stream(),
                // The call has the value of the expression.
                None => quote_spanned!(at_output=> |_| ::core::time::Duration::ZERO),
            },
        };
        quote_spanned! {at_output=>
            .err_ttl(
                |outcome| #private::error_of(outcome).map(|error| #private::record(error, #closure)),
                #private::recorded,
            )
        }
    });
    (ttl.is_some() || err_ttl.is_some()).then(|| quote_spanned!(at_output=> .keeping() #ttl #err_ttl))
}

pub(super) fn in_braces(tokens: TokenStream, span: Span) -> Group {
    let mut group = Group::new(Delimiter::Brace, tokens);
    group.set_span(span);
    group
}

/// The path of the runtime's items: in `crate = path`, whose errors point to it, or in the crate `dspinlock`.
pub(super) fn private(args: &Args, at: Span) -> TokenStream {
    match &args.dspinlock {
        Some(path) => {
            let path = &path.value;
            quote_spanned!(generated_at(path.span())=> #path::__private)
        }
        None => quote_spanned!(at=> ::dspinlock::__private),
    }
}

/// The call with its options and its key, in a block, so that temporaries of the key are dropped before the body runs.
/// `entry`: in the generated function of this name.
pub(super) fn call(function: &LockedFn, entry: Option<&Ident>) -> TokenStream {
    let options = Options::new(&function.args);
    let site = site(function, &options.fixed, entry);
    let per_call = &options.per_call;
    let cached = function.is_cached().then(|| match function.args.near_cache {
        Some(_) => quote!(.cached_near()),
        None if function.args.is_shared() => quote!(.cached_shared()),
        None => quote!(.cached()),
    });
    let error_policy = error_policy(function);
    let parts = key(function).into_iter().map(|expr| part("part", expr));
    let validated = function.args.validate.iter().flat_map(|validate| &validate.value);
    let validated = validated.flat_map(|expr| formatted(expr, false));
    let validated = validated.map(|expr| part("validating", expr));
    let skip_busy = function.args.on_busy.as_ref().map(|_| quote!(.skip_busy()));
    let private = private(&function.args, Span::call_site());
    // The steps that change the type of the call move it. They come before the key, because a call with a key is larger.
    let call = quote! {
        #private::Call::new(#site) #cached #error_policy #skip_busy #(#parts)* #(#validated)* #per_call
    };
    // Generated, because in the edition of the user or of `#[async_trait]` the temporaries may live until the end of the body.
    let call = in_braces(call, generated_at(function.output.span())).into_token_stream();
    match function.form {
        Form::AsyncTrait { .. } => rename_self(call),
        Form::Sync | Form::Async => call,
    }
}

/// The static that describes the function, in a separate block: the user's expressions do not see its name.
fn site(function: &LockedFn, options: &TokenStream, entry: Option<&Ident>) -> TokenStream {
    let args = &function.args;
    let private = private(args, Span::call_site());
    let ident = function.sig.ident.unraw().to_string();
    let name = args.name.iter().map(|name| &name.value);
    let prefix = args.prefix.iter().map(|prefix| &prefix.value);
    let version = args.version.iter().map(|version| version.value);
    let entry = entry.map(|entry| entry.unraw().to_string()).into_iter();
    let generics = function.generics().filter(|(_, name)| function.skips(name));
    let skipped: Vec<usize> = generics.map(|(position, _)| position).collect();
    let skipped = (!skipped.is_empty()).then(|| quote!(.skipped_generics(&[#(#skipped),*])));
    let fail = is_on(&args.fail_if_key_exists).then(|| quote!(.fail_if_key_exists()));
    let unlocked = args.on_store_error.as_ref().map(|_| quote!(.runs_unlocked()));
    let errors = args.err_ttl.as_ref().map(|_| quote!(.records_errors()));
    quote! {{
        static SITE: #private::Site = #private::Site::new(::core::concat!(::core::module_path!(), "::", #ident))
            #(.name(#name))* #(.prefix(#prefix))* #(.version(#version))* #(.entry(#entry))* #skipped #fail #errors #unlocked #options;
        &SITE
    }}
}

/// The expressions that make the key: `key = ...`, or every argument that is not skipped.
fn key(function: &LockedFn) -> Vec<Expr> {
    match &function.args.key {
        Some(key) => {
            let is_shared = function.args.is_shared();
            key.value
                .iter()
                .flat_map(|part| formatted(part, is_shared))
                .collect()
        }
        None => {
            let names = function.names().filter(|name| !function.skips(name));
            names.map(|name| syn::parse_quote!(#name)).collect()
        }
    }
}

/// A string literal is a format string over the arguments; every other expression stays.
///
/// The text and each hole are separate parts, so that a value cannot contain the text between two holes. A shared key
/// is the formatted text, as Python sees it.
fn formatted(expr: &Expr, is_shared: bool) -> Vec<Expr> {
    let Expr::Lit(ExprLit {
        lit: Lit::Str(format),
        ..
    }) = expr
    else {
        return vec![expr.clone()];
    };
    let at = generated_at(format.span());
    let format_args = |text: &str| {
        let text = LitStr::new(text, format.span());
        syn::parse_quote_spanned!(at=> ::core::format_args!(#text))
    };
    let text = format.value();
    let holes = parse::holes(&text);
    if is_shared || holes.is_empty() {
        return vec![syn::parse_quote_spanned!(at=> ::core::format_args!(#format))];
    }
    let holes = holes.into_iter().map(format_args);
    // Generated, because clippy warns of a text that looks like a format string.
    let text = LitStr::new(&text, at);
    std::iter::once(syn::parse_quote!(#text)).chain(holes).collect()
}

/// `.part(&expr)`
fn part(step: &str, expr: Expr) -> TokenStream {
    let at = generated_at(expr.span());
    let step = Ident::new(step, at);
    // A syntax node, not tokens: it puts parentheses around `a + b`.
    let borrowed = Expr::Reference(ExprReference {
        attrs: Vec::new(),
        and_token: Token![&](at),
        mutability: None,
        expr: Box::new(expr),
    });
    quote_spanned!(at=> .#step(#borrowed))
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
        if args.on_busy.is_some() && args.wait.is_none() && args.max_spinlock_tries.is_none() {
            let zero = constant(Duration::ZERO);
            options.fixed.extend(quote!(.wait(#zero)));
        }
        if args.ttl.as_ref().is_none_or(|ttl| ttl.value.closure().is_none()) {
            options.duration("ttl", &args.ttl);
        }
        if let Some(err_ttl) = &args.err_ttl
            && let Setting::PerCall(expr) = &err_ttl.value
            && err_ttl.value.closure().is_none()
        {
            let at = generated_at(expr.span());
            options.per_call.extend(quote_spanned!(at=> .err_ttl(#expr)));
        }
        options.duration("max_block_time", &args.max_block_time);
        options.duration("lease", &args.lease);
        if let Some(pool) = &args.pool {
            let pool = &pool.value;
            let at = generated_at(pool.span());
            options.per_call.extend(quote_spanned!(at=> .pool(#pool)));
        }
        if let Some(label) = &args.label {
            let label = &label.value;
            let at = generated_at(label.span());
            options
                .per_call
                .extend(quote_spanned!(at=> .label(::core::format_args!(#label))));
        }
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
    let private = private(&function.args, Span::call_site());
    let method = match function.args.on_error.as_ref()?.value {
        OnError::RunUnlocked => quote!(run_unlocked),
        OnError::Panic => quote!(panic),
    };
    Some(quote!(.#method(#private::Shape::<#output>::new().kind())))
}

/// The location of the user's tokens, but marked as generated, so that compiler errors point to it and lints ignore it.
pub(super) fn generated_at(span: Span) -> Span {
    Span::call_site().located_at(span)
}

/// `self` as `__self`, because the prologue of `#[async_trait]` moves it.
fn rename_self(tokens: TokenStream) -> TokenStream {
    let mut is_macro = false;
    let rename = |token| {
        let is_argument = std::mem::replace(
            &mut is_macro,
            matches!(&token, TokenTree::Punct(mark) if mark.as_char() == '!'),
        );
        match token {
            TokenTree::Ident(word) if word == "self" => TokenTree::Ident(Ident::new("__self", word.span())),
            TokenTree::Group(group) => {
                let mut stream = rename_self(group.stream());
                if is_argument {
                    stream = stream.into_iter().map(rename_hole).collect();
                }
                let mut renamed = Group::new(group.delimiter(), stream);
                renamed.set_span(group.span());
                TokenTree::Group(renamed)
            }
            other => other,
        }
    };
    tokens.into_iter().map(rename).collect()
}

/// The same in the format string of a macro: `{self}` and `{self:?}`.
fn rename_hole(token: TokenTree) -> TokenTree {
    let TokenTree::Literal(literal) = &token else {
        return token;
    };
    let Ok(format) = syn::parse_str::<LitStr>(&literal.to_string()) else {
        return token;
    };
    let text = format.value();
    let holes = parse::holes(&text);
    let holes: Vec<_> = holes
        .into_iter()
        .filter(|hole| parse::argument(hole) == "self")
        .collect();
    if holes.is_empty() {
        return token;
    }
    let (mut renamed, mut end) = (String::new(), 0);
    for hole in holes {
        let start = hole.as_ptr().addr() - text.as_ptr().addr();
        renamed += &text[end..start];
        renamed += &hole.replacen("self", "__self", 1);
        end = start + hole.len();
    }
    renamed += &text[end..];
    let mut renamed = Literal::string(&renamed);
    renamed.set_span(literal.span());
    TokenTree::Literal(renamed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn self_is_renamed_in_expressions_and_in_the_holes_of_macros() {
        for (tokens, renamed) in [
            ("self . x", "__self . x"),
            (r#"f ! ("{self} {self:?}")"#, r#"f ! ("{__self} {__self:?}")"#),
            (r#"f ! ("{{self}} {self}")"#, r#"f ! ("{{self}} {__self}")"#),
            (
                r#"f ! ("{selfish} self", self)"#,
                r#"f ! ("{selfish} self" , __self)"#,
            ),
            (r#"g ("{self}")"#, r#"g ("{self}")"#),
        ] {
            let parse = |text: &str| text.parse::<TokenStream>().expect("tokens").to_string();
            let tokens = tokens.parse().expect("tokens");
            assert_eq!(rename_self(tokens).to_string(), parse(renamed));
        }
    }
}
