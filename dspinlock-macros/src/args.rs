//! The tokens between the attribute's parentheses → [`Args`]. Never sees the function.

use std::time::Duration;

use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Expr, ExprLit, Lit, LitBool, LitStr, Token, parenthesized};

use crate::duration;
use crate::fallback::Mistakes;

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

/// A length of time.
pub(crate) enum Length {
    /// A string, known now.
    Fixed(Duration, LitStr),
    /// An expression, evaluated at each call.
    PerCall(Expr),
    /// `wait = forever`.
    Forever,
}

/// What becomes of a lock error that is not returned.
#[derive(Debug, Clone, Copy)]
pub(crate) enum OnError {
    RunUnlocked,
    Panic,
}

/// Each argument as it should look, to show to whoever wrote it otherwise.
const ARGUMENTS: [(&str, &str); 15] = [
    ("key", "key = id"),
    ("skip", "skip(client, trace_id)"),
    ("name", "name = \"price\""),
    ("prefix", "prefix = \"shop\""),
    ("cached_if_computed", "cached_if_computed"),
    ("fail_if_key_exists", "fail_if_key_exists"),
    ("max_spinlock_tries", "max_spinlock_tries = 10"),
    ("spinlock_sleep_thresh", "spinlock_sleep_thresh = \"500ms\""),
    ("wait", "wait = \"2m\""),
    ("ttl", "ttl = \"1h\""),
    ("expire_at_timedelta", "expire_at_timedelta = \"1h\""),
    ("max_block_time", "max_block_time = \"30m\""),
    ("lease", "lease = \"15s\""),
    ("map_err", "map_err = MyError::Lock"),
    ("on_error", "on_error = run_unlocked"),
];

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
            "spinlock_sleep_thresh" => set_length(&mut self.spinlock_sleep_thresh, name, input, m)?,
            "wait" => set_length(&mut self.wait, name, input, m)?,
            "ttl" | "expire_at_timedelta" => set_length(&mut self.ttl, name, input, m)?,
            "max_block_time" => set_length(&mut self.max_block_time, name, input, m)?,
            "lease" => set_length(&mut self.lease, name, input, m)?,
            "map_err" => once(&mut self.map_err, name.clone(), expression(input, &name)?, m),
            "on_error" => once(&mut self.on_error, name.clone(), on_error(input, &name)?, m),
            _ => unknown(input, &name, m)?,
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

/// The expression after `name =`.
fn expression(input: ParseStream, name: &Ident) -> syn::Result<Expr> {
    if !input.peek(Token![=]) {
        let (_, example) = ARGUMENTS[ARGUMENTS.iter().position(|(known, _)| name == known).unwrap_or(0)];
        return Err(syn::Error::new_spanned(
            name,
            format_args!("`{name}` needs a value: `{example}`"),
        ));
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

fn set_length(
    slot: &mut Option<Given<Length>>,
    name: Ident,
    input: ParseStream,
    mistakes: &mut Mistakes,
) -> syn::Result<()> {
    let value = match expression(input, &name)? {
        Expr::Path(word) if name == "wait" && word.path.is_ident("forever") => Length::Forever,
        expr => length(expr, &name, mistakes),
    };
    once(slot, name, value, mistakes);
    Ok(())
}

fn length(expr: Expr, name: &Ident, mistakes: &mut Mistakes) -> Length {
    if let Some(number) = bare_number(&expr) {
        let sentence =
            format_args!("a bare number has no unit: `{name} = \"{number}s\"` or `{name} = \"{number}ms\"`");
        mistakes.add(&expr, sentence);
    }
    match expr {
        Expr::Lit(ExprLit {
            lit: Lit::Str(text), ..
        }) => {
            let fixed = duration::parse(&text.value()).unwrap_or_else(|| {
                mistakes.add(&text, NO_DURATION);
                // Any value that raises no second mistake.
                Duration::from_secs(1)
            });
            Length::Fixed(fixed, text)
        }
        expr => Length::PerCall(expr),
    }
}

const NO_DURATION: &str = "this is no duration: write whole numbers with falling units d, h, m, s, ms, us, ns, like \"1h30m\" or \"500ms\"";

fn bare_number(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Lit(ExprLit {
            lit: Lit::Int(number),
            ..
        }) => Some(number.base10_digits().to_owned()),
        Expr::Lit(ExprLit {
            lit: Lit::Float(_), ..
        }) => Some("1".to_owned()),
        Expr::Unary(negative) => bare_number(&negative.expr),
        _ => None,
    }
}

fn unknown(input: ParseStream, name: &Ident, mistakes: &mut Mistakes) -> syn::Result<()> {
    while !input.is_empty() && !input.peek(Token![,]) {
        input.parse::<TokenTree>()?;
    }
    let written = name.to_string();
    let nearest = ARGUMENTS
        .iter()
        .map(|(known, _)| (distance(&written, known), *known))
        .min();
    match nearest {
        Some((steps, known)) if steps <= 2 + known.len() / 4 => {
            mistakes.add(
                name,
                format_args!("there is no argument `{name}`: did you mean `{known}`?"),
            );
        }
        _ => {
            let all = ARGUMENTS.map(|(known, _)| known).join("`, `");
            mistakes.add(
                name,
                format_args!("there is no argument `{name}`; there are `{all}`"),
            );
        }
    }
    Ok(())
}

/// How many letters to change, add or leave out; a shortened name counts as near.
fn distance(written: &str, known: &str) -> usize {
    let mut letters = known.chars();
    if written.len() > 2 && written.chars().all(|letter| letters.any(|other| other == letter)) {
        return 1;
    }
    let known: Vec<char> = known.chars().collect();
    let mut row: Vec<usize> = (0..=known.len()).collect();
    for (i, a) in written.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in known.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[known.len()]
}
