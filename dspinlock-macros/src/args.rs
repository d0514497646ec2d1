//! The tokens between the attribute's parentheses → [`Args`]. Never sees the function.

use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Expr, ExprLit, Lit, LitBool, LitStr, Token, parenthesized};

use crate::duration::Length;
use crate::fallback::Mistakes;
use crate::names;

/// Everything the attribute was told; each part keeps the name it was given by, for its span.
#[derive(Default)]
pub(crate) struct Args {
    pub(crate) key: Option<Given<Vec<Expr>>>,
    pub(crate) skip: Option<Given<Vec<Ident>>>,
    pub(crate) name: Option<Given<LitStr>>,
    pub(crate) prefix: Option<Given<LitStr>>,
    pub(crate) cached_if_computed: Option<Given<bool>>,
    pub(crate) fail_if_key_exists: Option<Given<bool>>,
    pub(crate) max_spinlock_tries: Option<Given<Tries>>,
    pub(crate) spinlock_sleep_thresh: Option<Given<Length>>,
    pub(crate) wait: Option<Given<Length>>,
    pub(crate) ttl: Option<Given<Length>>,
    pub(crate) max_block_time: Option<Given<Length>>,
    pub(crate) lease: Option<Given<Length>>,
    pub(crate) map_err: Option<Given<Expr>>,
    pub(crate) on_error: Option<Given<OnError>>,
}

/// An argument's value under the name that the user wrote.
pub(crate) struct Given<T> {
    pub(crate) name: Ident,
    pub(crate) value: T,
}

/// A number of tries.
pub(crate) enum Tries {
    Fixed(u32),
    PerCall(Expr),
}

/// What becomes of a lock error that is not returned.
#[derive(Debug, Clone, Copy)]
pub(crate) enum OnError {
    RunUnlocked,
    Panic,
}

impl Args {
    /// Reads all that can be read and notes what cannot.
    pub(crate) fn parse(tokens: TokenStream, mistakes: &mut Mistakes) -> Self {
        let mut args = Self::default();
        let parser = |input: ParseStream| {
            while !input.is_empty() {
                args.argument(input, mistakes)?;
                if !input.is_empty() {
                    input.parse::<Token![,]>()?;
                }
            }
            Ok(())
        };
        // A syntax error ends the reading: where the next argument begins can only be guessed.
        if let Err(error) = parser.parse2(tokens) {
            mistakes.push(error);
        }
        args
    }

    fn argument(&mut self, input: ParseStream, mistakes: &mut Mistakes) -> syn::Result<()> {
        let name = input.call(Ident::parse_any)?;
        let m = mistakes;
        match name.to_string().as_str() {
            "key" => once(&mut self.key, name.clone(), key(input, &name)?, m),
            "skip" => once(&mut self.skip, name.clone(), skip(input, &name)?, m),
            "name" => once(&mut self.name, name.clone(), text(input, &name)?, m),
            "prefix" => once(&mut self.prefix, name.clone(), text(input, &name)?, m),
            "cached_if_computed" => once(&mut self.cached_if_computed, name, flag(input)?, m),
            "fail_if_key_exists" => once(&mut self.fail_if_key_exists, name, flag(input)?, m),
            "max_spinlock_tries" => once(
                &mut self.max_spinlock_tries,
                name.clone(),
                tries(input, &name)?,
                m,
            ),
            "spinlock_sleep_thresh" => {
                once(
                    &mut self.spinlock_sleep_thresh,
                    name.clone(),
                    length(input, &name, m)?,
                    m,
                );
            }
            "wait" => once(&mut self.wait, name.clone(), length(input, &name, m)?, m),
            "ttl" | "expire_at_timedelta" => once(&mut self.ttl, name.clone(), length(input, &name, m)?, m),
            "max_block_time" => once(
                &mut self.max_block_time,
                name.clone(),
                length(input, &name, m)?,
                m,
            ),
            "lease" => once(&mut self.lease, name.clone(), length(input, &name, m)?, m),
            "map_err" => once(&mut self.map_err, name.clone(), expression(input, &name)?, m),
            "on_error" => once(&mut self.on_error, name.clone(), on_error(input, &name)?, m),
            _ => {
                m.add(&name, names::unknown(&name));
                skip_value(input)?;
            }
        }
        Ok(())
    }
}

fn once<T>(slot: &mut Option<Given<T>>, name: Ident, value: T, mistakes: &mut Mistakes) {
    match slot {
        Some(first) if first.name == name => {
            mistakes.add(&name, format_args!("`{name}` is given twice: keep one"))
        }
        Some(first) => {
            let sentence = format_args!("`{name}` is another name of `{}`: keep one", first.name);
            mistakes.add(&name, sentence);
        }
        None => *slot = Some(Given { name, value }),
    }
}

/// Whether a flag was given, and not as `false`.
pub(crate) fn is_on(flag: &Option<Given<bool>>) -> bool {
    flag.as_ref().is_some_and(|flag| flag.value)
}

/// The expression after `name =`.
fn expression(input: ParseStream, name: &Ident) -> syn::Result<Expr> {
    if !input.peek(Token![=]) {
        let sentence = format_args!("`{name}` needs a value: `{}`", names::example(name));
        return Err(syn::Error::new_spanned(name, sentence));
    }
    input.parse::<Token![=]>()?;
    input.parse::<Expr>().map(ungroup)
}

/// Out of the invisible parentheses that `macro_rules!` puts around what it was given.
fn ungroup(expr: Expr) -> Expr {
    match expr {
        Expr::Group(group) => ungroup(*group.expr),
        expr => expr,
    }
}

fn key(input: ParseStream, name: &Ident) -> syn::Result<Vec<Expr>> {
    Ok(match expression(input, name)? {
        Expr::Tuple(tuple) => tuple.elems.into_iter().map(ungroup).collect(),
        single => vec![single],
    })
}

fn skip(input: ParseStream, name: &Ident) -> syn::Result<Vec<Ident>> {
    if !input.peek(syn::token::Paren) {
        return Err(syn::Error::new_spanned(
            name,
            "name what to leave out of the key in parentheses: `skip(client)`",
        ));
    }
    let content;
    parenthesized!(content in input);
    let names = Punctuated::<Ident, Token![,]>::parse_terminated_with(&content, Ident::parse_any)?;
    Ok(names.into_iter().collect())
}

fn text(input: ParseStream, name: &Ident) -> syn::Result<LitStr> {
    match expression(input, name)? {
        Expr::Lit(ExprLit {
            lit: Lit::Str(text), ..
        }) => Ok(text),
        other => Err(syn::Error::new_spanned(
            other,
            format_args!("`{name}` is a string literal: `{name} = \"shop\"`"),
        )),
    }
}

fn flag(input: ParseStream) -> syn::Result<bool> {
    if !input.peek(Token![=]) {
        return Ok(true);
    }
    input.parse::<Token![=]>()?;
    match ungroup(input.parse()?) {
        Expr::Lit(ExprLit {
            lit: Lit::Bool(LitBool { value, .. }),
            ..
        }) => Ok(value),
        other => Err(syn::Error::new_spanned(
            other,
            "a flag stands alone, or is `true` or `false`",
        )),
    }
}

fn tries(input: ParseStream, name: &Ident) -> syn::Result<Tries> {
    match expression(input, name)? {
        Expr::Lit(ExprLit {
            lit: Lit::Int(number),
            ..
        }) => number
            .base10_parse()
            .map(Tries::Fixed)
            .map_err(|_| syn::Error::new_spanned(number, format_args!("`{name}` is at most {}", u32::MAX))),
        other => Ok(Tries::PerCall(other)),
    }
}

fn length(input: ParseStream, name: &Ident, mistakes: &mut Mistakes) -> syn::Result<Length> {
    Ok(Length::read(expression(input, name)?, name, mistakes))
}

fn on_error(input: ParseStream, name: &Ident) -> syn::Result<OnError> {
    match expression(input, name)? {
        Expr::Path(way) if way.path.is_ident("run_unlocked") => Ok(OnError::RunUnlocked),
        Expr::Path(way) if way.path.is_ident("panic") => Ok(OnError::Panic),
        other => Err(syn::Error::new_spanned(
            other,
            "`on_error` is `run_unlocked` or `panic`",
        )),
    }
}

/// To the comma before the next argument.
fn skip_value(input: ParseStream) -> syn::Result<()> {
    while !input.is_empty() && !input.peek(Token![,]) {
        input.parse::<TokenTree>()?;
    }
    Ok(())
}
