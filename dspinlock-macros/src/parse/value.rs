//! Reads the value of one argument. `args` chooses the kind of value by the argument's name.

use std::time::Duration;

use proc_macro2::{Ident, TokenTree};
use syn::ext::IdentExt;
use syn::parse::ParseStream;
use syn::punctuated::Punctuated;
use syn::{Expr, ExprLit, ExprPath, Lit, LitStr, Path, Token, parenthesized};

use crate::errors::{Errors, fail};
use crate::parse::{duration, format, names};

/// An argument's value, with the name that the user wrote.
pub(crate) struct Arg<T> {
    pub(crate) name: Ident,
    pub(crate) value: T,
}

/// The value of an argument that takes a literal or an expression.
pub(crate) enum Setting<T> {
    /// Known at compile time; the literal is kept for its span.
    Literal(T, Lit),
    /// Evaluated at each call.
    PerCall(Expr),
}

impl<T> Setting<T> {
    /// A closure literal, which is called after the body.
    pub(crate) fn closure(&self) -> Option<&Expr> {
        match self {
            Self::PerCall(expr @ Expr::Closure(_)) => Some(expr),
            _ => None,
        }
    }
}

impl<T: Copy> Setting<T> {
    /// The value and its literal, if it is known at compile time.
    pub(crate) fn literal(&self) -> Option<(T, &Lit)> {
        match self {
            Self::Literal(value, literal) => Some((*value, literal)),
            Self::PerCall(_) => None,
        }
    }
}

/// How long a call waits.
pub(crate) enum Wait {
    AtMost(Setting<Duration>),
    Forever,
}

/// What happens on a lock error instead of returning it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum OnError {
    RunUnlocked,
    Panic,
}

/// Reads the value of one argument, whose name was already read.
pub(crate) struct ValueReader<'a> {
    name: Ident,
    input: ParseStream<'a>,
    errors: &'a mut Errors,
}

impl<'a> ValueReader<'a> {
    pub(crate) fn new(name: Ident, input: ParseStream<'a>, errors: &'a mut Errors) -> Self {
        Self { name, input, errors }
    }

    pub(crate) fn name(&self) -> &Ident {
        &self.name
    }

    /// Reads the value into `slot`. It is an error if `slot` already has a value.
    pub(crate) fn read_into<T>(
        mut self,
        slot: &mut Option<Arg<T>>,
        read: fn(&mut Self) -> syn::Result<T>,
    ) -> syn::Result<()> {
        let value = read(&mut self)?;
        let name = self.name;
        match slot {
            None => *slot = Some(Arg { name, value }),
            Some(first) if first.name == name => {
                self.errors
                    .add(&name, format_args!("`{name}` is given twice: remove one"));
            }
            Some(first) => {
                let message = format_args!("`{name}` is an alias of `{}`: remove one", first.name);
                self.errors.add(&name, message);
            }
        }
        Ok(())
    }

    pub(crate) fn expression(&mut self) -> syn::Result<Expr> {
        if !self.input.peek(Token![=]) {
            let name = &self.name;
            let message = format_args!("`{name}` needs a value: `{}`", names::example(name));
            return fail(name, message);
        }
        self.input.parse::<Token![=]>()?;
        self.input.parse::<Expr>().map(ungroup)
    }

    /// The parts of the key: the elements of a tuple, or one expression.
    pub(crate) fn key(&mut self) -> syn::Result<Vec<Expr>> {
        let parts = match self.expression()? {
            Expr::Tuple(tuple) => tuple.elems.into_iter().map(ungroup).collect(),
            single => vec![single],
        };
        if !self.has_loose_parts(&parts)? {
            parts.iter().for_each(|part| self.check_holes(part));
        }
        Ok(parts)
    }

    /// Whether other parts follow without parentheses, as in `key = a, b`. They are skipped, after one error.
    fn has_loose_parts(&mut self, parts: &[Expr]) -> syn::Result<bool> {
        let mut first = None;
        while self.input.peek(Token![,]) && is_expression(&self.input.fork())? {
            self.input.parse::<Token![,]>()?;
            let loose = self.input.parse::<Expr>()?;
            first.get_or_insert(loose);
        }
        if let Some(loose) = &first {
            let message = match parts {
                [Expr::Lit(_)] => {
                    "a format string takes no arguments: write a tuple, as in `key = (\"user\", user.id)`"
                }
                _ => "a key of several parts is a tuple: `key = (a, b)`",
            };
            self.errors.add(loose, message);
        }
        Ok(first.is_some())
    }

    /// The holes of a format string take names only.
    fn check_holes(&mut self, part: &Expr) {
        if let Expr::Lit(ExprLit {
            lit: Lit::Str(text), ..
        }) = part
        {
            self.check_text(text);
        }
    }

    fn check_text(&mut self, text: &LitStr) {
        let format = text.value();
        let arguments = format::holes(&format).into_iter().map(format::argument);
        match arguments.into_iter().find(|argument| !format::is_name(argument)) {
            None => {}
            Some(_) if self.name == "label" => {
                let message = "a hole takes the name of an argument only, as in `label = \"user:{id}\"`";
                self.errors.add(text, message);
            }
            Some(argument) if argument.bytes().all(|byte| byte.is_ascii_digit()) => {
                let message =
                    "a hole needs a name: write `{id}`, or a tuple, as in `key = (\"user\", user.id)`";
                self.errors.add(text, message);
            }
            Some(argument) => {
                let message = format_args!(
                    "a hole takes a name only: write a tuple, as in `key = (\"user\", {argument})`"
                );
                self.errors.add(text, message);
            }
        }
    }

    pub(crate) fn skip(&mut self) -> syn::Result<Vec<Ident>> {
        if !self.input.peek(syn::token::Paren) {
            let message = "`skip` needs a list of arguments: `skip(client, trace_id)`";
            return fail(&self.name, message);
        }
        let content;
        let parentheses = parenthesized!(content in self.input);
        if content.is_empty() {
            let message = "`skip()` skips nothing: list arguments, or remove it";
            self.errors
                .push(syn::Error::new(parentheses.span.join(), message));
        }
        let skipped = Punctuated::<Ident, Token![,]>::parse_terminated_with(&content, Ident::parse_any)?;
        Ok(skipped.into_iter().collect())
    }

    /// A path or a closure.
    pub(crate) fn function(&mut self) -> syn::Result<Expr> {
        let expr = self.expression()?;
        if let Expr::Lit(ExprLit { lit: Lit::Str(_), .. }) = expr {
            let name = &self.name;
            let message = format_args!("`{name}` needs a path or a closure: remove the quotes");
            self.errors.add(&expr, message);
        }
        Ok(expr)
    }

    pub(crate) fn path(&mut self) -> syn::Result<Path> {
        match self.expression()? {
            Expr::Path(ExprPath {
                qself: None, path, ..
            }) => Ok(path),
            other => {
                let name = &self.name;
                let message = format_args!("`{name}` needs a path: `{}`", names::example(name));
                fail(other, message)
            }
        }
    }

    /// The name of a function.
    pub(crate) fn ident(&mut self) -> syn::Result<Ident> {
        match self.expression()? {
            Expr::Path(path) if path.path.get_ident().is_some() => Ok(path.path.require_ident()?.clone()),
            other => {
                let name = &self.name;
                let message =
                    format_args!("`{name}` needs a name without quotes: `{}`", names::example(name));
                fail(other, message)
            }
        }
    }

    /// A number that is the same at each call.
    pub(crate) fn number(&mut self) -> syn::Result<u32> {
        match self.count()? {
            Setting::Literal(number, _) => Ok(number),
            Setting::PerCall(other) => {
                let name = &self.name;
                let message = format_args!("`{name}` needs a literal number: `{}`", names::example(name));
                fail(other, message)
            }
        }
    }

    /// A text whose holes take arguments.
    pub(crate) fn label(&mut self) -> syn::Result<LitStr> {
        let text = self.text()?;
        self.check_text(&text);
        Ok(text)
    }

    pub(crate) fn text(&mut self) -> syn::Result<LitStr> {
        match self.expression()? {
            Expr::Lit(ExprLit {
                lit: Lit::Str(text), ..
            }) => Ok(text),
            other => {
                let name = &self.name;
                let message = format_args!("`{name}` needs a string literal: `{}`", names::example(name));
                fail(other, message)
            }
        }
    }

    pub(crate) fn flag(&mut self) -> syn::Result<bool> {
        if !self.input.peek(Token![=]) {
            return Ok(true);
        }
        match self.expression()? {
            Expr::Lit(ExprLit {
                lit: Lit::Bool(on), ..
            }) => Ok(on.value),
            other => {
                let message = format_args!(
                    "`{}` is a flag: remove the value, or use `true` or `false`",
                    self.name
                );
                fail(other, message)
            }
        }
    }

    pub(crate) fn count(&mut self) -> syn::Result<Setting<u32>> {
        match self.expression()? {
            Expr::Lit(ExprLit {
                lit: Lit::Int(number),
                ..
            }) => match number.base10_parse() {
                Ok(count) => Ok(Setting::Literal(count, Lit::Int(number))),
                Err(_) => fail(number, format_args!("`{}` must be <= {}", self.name, u32::MAX)),
            },
            Expr::Lit(other) => {
                let name = &self.name;
                let message = format_args!("`{name}` needs a number: `{}`", names::example(name));
                fail(other, message)
            }
            other => Ok(Setting::PerCall(other)),
        }
    }

    pub(crate) fn duration(&mut self) -> syn::Result<Setting<Duration>> {
        let expr = self.expression()?;
        if word(&expr).is_some_and(|word| word == "forever" || NO_LIMIT.contains(&&*word)) {
            let name = &self.name;
            let message = match name.to_string().as_str() {
                "ttl" | "expire_at_timedelta" | "max_block_time" => {
                    format!("`{name}` always has a limit: write a long one, such as `{name} = \"365d\"`")
                }
                _ => format!("`{name}` needs a duration: `{}`", names::example(name)),
            };
            self.errors.add(&expr, message);
            return Ok(Setting::PerCall(expr));
        }
        Ok(self.setting(expr))
    }

    fn setting(&mut self, expr: Expr) -> Setting<Duration> {
        if let Some(number) = bare_number(&expr) {
            let name = &self.name;
            let message =
                format_args!("`{name}` needs a unit: `{name} = \"{number}s\"` or `{name} = \"{number}ms\"`");
            self.errors.add(&expr, message);
        }
        match expr {
            Expr::Lit(ExprLit {
                lit: Lit::Str(text), ..
            }) => Setting::Literal(self.units(&text), Lit::Str(text)),
            expr => Setting::PerCall(expr),
        }
    }

    /// The duration that `text` stands for. After an error it is one second, which passes every other check.
    fn units(&mut self, text: &LitStr) -> Duration {
        duration::parse(&text.value()).unwrap_or_else(|| {
            match duration::suggestion(&text.value()) {
                Some(valid) => {
                    let message = format_args!("invalid duration: write `{} = \"{valid}\"`", self.name);
                    self.errors.add(text, message);
                }
                None => self.errors.add(text, INVALID_DURATION),
            }
            Duration::from_secs(1)
        })
    }

    pub(crate) fn wait(&mut self) -> syn::Result<Wait> {
        let expr = self.expression()?;
        match word(&expr).as_deref() {
            Some("forever") if matches!(expr, Expr::Path(_)) => return Ok(Wait::Forever),
            Some("forever") => {
                self.errors
                    .add(expr, "`forever` is a word, not a text: write `wait = forever`");
            }
            Some(word) if NO_LIMIT.contains(&word) => {
                let message = "`wait` needs a duration: write `wait = forever` for no limit, or `wait = \"0s\"` \
                               for a call that does not wait";
                self.errors.add(expr, message);
            }
            _ => return Ok(Wait::AtMost(self.setting(expr))),
        }
        Ok(Wait::Forever)
    }

    pub(crate) fn on_error(&mut self) -> syn::Result<OnError> {
        match self.expression()? {
            Expr::Path(word) if word.path.is_ident("run_unlocked") => Ok(OnError::RunUnlocked),
            Expr::Path(word) if word.path.is_ident("panic") => Ok(OnError::Panic),
            other => fail(other, "`on_error` must be `run_unlocked` or `panic`"),
        }
    }

    pub(crate) fn on_busy(&mut self) -> syn::Result<()> {
        match self.expression()? {
            Expr::Path(word) if word.path.is_ident("skip") => Ok(()),
            other => fail(other, "`on_busy` must be `skip`"),
        }
    }

    pub(crate) fn on_store_error(&mut self) -> syn::Result<()> {
        match self.expression()? {
            Expr::Path(word) if word.path.is_ident("run_unlocked") => Ok(()),
            other => fail(other, "`on_store_error` must be `run_unlocked`"),
        }
    }

    pub(crate) fn on_lease_lost(&mut self) -> syn::Result<()> {
        match self.expression()? {
            Expr::Path(word) if word.path.is_ident("cancel") => Ok(()),
            other => fail(other, "`on_lease_lost` must be `cancel`"),
        }
    }

    /// Adds an error for an unknown name, and skips to the next argument.
    pub(crate) fn skip_unknown(self) -> syn::Result<()> {
        self.errors.add(&self.name, names::unknown(&self.name));
        while !self.input.is_empty() && !self.input.peek(Token![,]) {
            self.input.parse::<TokenTree>()?;
        }
        Ok(())
    }
}

/// Words that may be meant as no limit.
const NO_LIMIT: [&str; 6] = ["none", "None", "never", "infinite", "infinity", "unlimited"];

const INVALID_DURATION: &str = "invalid duration: write whole numbers with descending units \
                                (d, h, m, s, ms, us, ns), such as `1h30m` or `500ms`";

/// Whether an expression follows the comma instead of an argument.
fn is_expression(input: ParseStream) -> syn::Result<bool> {
    input.parse::<Token![,]>()?;
    if input.is_empty() {
        return Ok(false);
    }
    let Ok(name) = input.call(Ident::parse_any) else {
        return Ok(true);
    };
    let has_value = input.peek(Token![=]) || input.peek(syn::token::Paren);
    let is_alone = input.is_empty() || input.peek(Token![,]);
    let is_argument = names::is_known(&name) || has_value || (is_alone && names::instead(&name).is_some());
    Ok(!is_argument)
}

/// A word, with or without quotes.
fn word(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Path(path) => path.path.get_ident().map(Ident::to_string),
        Expr::Lit(ExprLit {
            lit: Lit::Str(text), ..
        }) => Some(text.value()),
        _ => None,
    }
}

/// The digits of a number that has no unit.
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

/// Removes the invisible group that `macro_rules!` puts around a captured expression.
fn ungroup(expr: Expr) -> Expr {
    match expr {
        Expr::Group(group) => ungroup(*group.expr),
        expr => expr,
    }
}
