//! The tokens between the attribute's parentheses → [`Args`]. Never sees the function.

use std::fmt::Display;

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Expr, ExprLit, Lit, LitStr, Token, parenthesized};

use crate::fallback::Mistakes;
use crate::parse::duration::Length;
use crate::parse::names;

/// Everything the attribute was told; each part keeps the name it was given by, for its span.
#[derive(Default)]
pub(crate) struct Args {
    pub(crate) key: Option<Given<Vec<Expr>>>,
    pub(crate) skip: Option<Given<Vec<Ident>>>,
    pub(crate) name: Option<Given<LitStr>>,
    pub(crate) prefix: Option<Given<LitStr>>,
    pub(crate) cached_if_computed: Option<Given<bool>>,
    pub(crate) near_cache: Option<Given<Length>>,
    pub(crate) fail_if_key_exists: Option<Given<bool>>,
    pub(crate) max_spinlock_tries: Option<Given<Tries>>,
    pub(crate) spinlock_sleep_thresh: Option<Given<Length>>,
    pub(crate) wait: Option<Given<Length>>,
    pub(crate) ttl: Option<Given<Length>>,
    pub(crate) max_block_time: Option<Given<Length>>,
    pub(crate) lease: Option<Given<Length>>,
    pub(crate) replicas: Option<Given<Tries>>,
    pub(crate) map_err: Option<Given<Expr>>,
    pub(crate) on_error: Option<Given<OnError>>,
}

/// An argument's value under the name that the user wrote.
pub(crate) struct Given<T> {
    pub(crate) name: Ident,
    pub(crate) value: T,
}

/// A number, of tries or of replicas.
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
                let name = input.call(Ident::parse_any)?;
                args.set(Argument {
                    name,
                    input,
                    mistakes,
                })?;
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

    fn set(&mut self, argument: Argument) -> syn::Result<()> {
        match argument.name.to_string().as_str() {
            "key" => argument.into(&mut self.key, Argument::key),
            "skip" => argument.into(&mut self.skip, Argument::skip),
            "name" => argument.into(&mut self.name, Argument::text),
            "prefix" => argument.into(&mut self.prefix, Argument::text),
            "cached_if_computed" => argument.into(&mut self.cached_if_computed, Argument::flag),
            "near_cache" => argument.into(&mut self.near_cache, Argument::length),
            "fail_if_key_exists" => argument.into(&mut self.fail_if_key_exists, Argument::flag),
            "max_spinlock_tries" => argument.into(&mut self.max_spinlock_tries, Argument::tries),
            "spinlock_sleep_thresh" => argument.into(&mut self.spinlock_sleep_thresh, Argument::length),
            "wait" => argument.into(&mut self.wait, Argument::length),
            "ttl" | "expire_at_timedelta" => argument.into(&mut self.ttl, Argument::length),
            "max_block_time" => argument.into(&mut self.max_block_time, Argument::length),
            "lease" => argument.into(&mut self.lease, Argument::length),
            "replicas" => argument.into(&mut self.replicas, Argument::tries),
            "map_err" => argument.into(&mut self.map_err, Argument::expression),
            "on_error" => argument.into(&mut self.on_error, Argument::on_error),
            _ => argument.unknown(),
        }
    }
}

/// Whether a flag was given, and not as `false`.
pub(crate) fn is_on(flag: &Option<Given<bool>>) -> bool {
    flag.as_ref().is_some_and(|flag| flag.value)
}

/// One argument, of which the name is read and the value is not.
struct Argument<'a> {
    name: Ident,
    input: ParseStream<'a>,
    mistakes: &'a mut Mistakes,
}

impl Argument<'_> {
    /// Reads the value into its place, which must be free.
    fn into<T>(
        mut self,
        slot: &mut Option<Given<T>>,
        read: fn(&mut Self) -> syn::Result<T>,
    ) -> syn::Result<()> {
        let value = read(&mut self)?;
        let name = self.name;
        match slot {
            None => *slot = Some(Given { name, value }),
            Some(first) => {
                let sentence = match first.name == name {
                    true => format!("`{name}` is given twice: keep one"),
                    false => format!("`{name}` is another name of `{}`: keep one", first.name),
                };
                self.mistakes.add(&name, sentence);
            }
        }
        Ok(())
    }

    fn expression(&mut self) -> syn::Result<Expr> {
        if !self.input.peek(Token![=]) {
            let name = &self.name;
            return wrong(
                name,
                format_args!("`{name}` needs a value: `{}`", names::example(name)),
            );
        }
        self.input.parse::<Token![=]>()?;
        self.input.parse::<Expr>().map(ungroup)
    }

    fn key(&mut self) -> syn::Result<Vec<Expr>> {
        Ok(match self.expression()? {
            Expr::Tuple(tuple) => tuple.elems.into_iter().map(ungroup).collect(),
            single => vec![single],
        })
    }

    fn skip(&mut self) -> syn::Result<Vec<Ident>> {
        if !self.input.peek(syn::token::Paren) {
            let sentence = "name what to leave out of the key in parentheses: `skip(client)`";
            return wrong(&self.name, sentence);
        }
        let content;
        parenthesized!(content in self.input);
        let names = Punctuated::<Ident, Token![,]>::parse_terminated_with(&content, Ident::parse_any)?;
        Ok(names.into_iter().collect())
    }

    fn text(&mut self) -> syn::Result<LitStr> {
        match self.expression()? {
            Expr::Lit(ExprLit {
                lit: Lit::Str(text), ..
            }) => Ok(text),
            other => {
                let sentence = format!("`{}` is a string: `{}`", self.name, names::example(&self.name));
                wrong(other, sentence)
            }
        }
    }

    fn flag(&mut self) -> syn::Result<bool> {
        if !self.input.peek(Token![=]) {
            return Ok(true);
        }
        match self.expression()? {
            Expr::Lit(ExprLit {
                lit: Lit::Bool(on), ..
            }) => Ok(on.value),
            other => wrong(other, "a flag stands alone, or is `true` or `false`"),
        }
    }

    fn tries(&mut self) -> syn::Result<Tries> {
        match self.expression()? {
            Expr::Lit(ExprLit {
                lit: Lit::Int(number),
                ..
            }) => match number.base10_parse() {
                Ok(tries) => Ok(Tries::Fixed(tries)),
                Err(_) => wrong(number, format_args!("`{}` is at most {}", self.name, u32::MAX)),
            },
            other => Ok(Tries::PerCall(other)),
        }
    }

    fn length(&mut self) -> syn::Result<Length> {
        Ok(Length::read(self.expression()?, &self.name, self.mistakes))
    }

    fn on_error(&mut self) -> syn::Result<OnError> {
        match self.expression()? {
            Expr::Path(way) if way.path.is_ident("run_unlocked") => Ok(OnError::RunUnlocked),
            Expr::Path(way) if way.path.is_ident("panic") => Ok(OnError::Panic),
            other => wrong(other, "`on_error` is `run_unlocked` or `panic`"),
        }
    }

    fn unknown(self) -> syn::Result<()> {
        self.mistakes.add(&self.name, names::unknown(&self.name));
        while !self.input.is_empty() && !self.input.peek(Token![,]) {
            self.input.parse::<TokenTree>()?;
        }
        Ok(())
    }
}

fn wrong<T>(culprit: impl ToTokens, sentence: impl Display) -> syn::Result<T> {
    Err(syn::Error::new_spanned(culprit, sentence))
}

/// Out of the invisible parentheses that `macro_rules!` puts around what it was given.
fn ungroup(expr: Expr) -> Expr {
    match expr {
        Expr::Group(group) => ungroup(*group.expr),
        expr => expr,
    }
}
