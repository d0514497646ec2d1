//! `"1h30m"` → [`Length`].

use std::time::Duration;

use proc_macro2::Ident;
use syn::{Expr, ExprLit, Lit, LitStr};

use crate::fallback::Mistakes;

/// A length of time.
pub(crate) enum Length {
    /// A string, known now.
    Fixed(Duration, LitStr),
    /// An expression, evaluated at each call.
    PerCall(Expr),
    /// `wait = forever`.
    Forever,
}

impl Length {
    /// The value of the argument `name`. What is no duration is noted, and replaced by one that raises no second mistake.
    pub(crate) fn read(expr: Expr, name: &Ident, mistakes: &mut Mistakes) -> Self {
        if let Some(number) = bare_number(&expr) {
            let sentence = format_args!(
                "a bare number has no unit: `{name} = \"{number}s\"` or `{name} = \"{number}ms\"`"
            );
            mistakes.add(&expr, sentence);
        }
        match expr {
            Expr::Path(word) if name == "wait" && word.path.is_ident("forever") => Self::Forever,
            Expr::Lit(ExprLit {
                lit: Lit::Str(text), ..
            }) => {
                let fixed = parse(&text.value()).unwrap_or_else(|| {
                    mistakes.add(&text, NO_DURATION);
                    Duration::from_secs(1)
                });
                Self::Fixed(fixed, text)
            }
            expr => Self::PerCall(expr),
        }
    }

    /// Where it is known now: how long, and where that is said.
    pub(crate) fn fixed(&self) -> Option<(Duration, &LitStr)> {
        match self {
            Self::Fixed(duration, text) => Some((*duration, text)),
            Self::PerCall(_) | Self::Forever => None,
        }
    }
}

const NO_DURATION: &str = "this is no duration: write whole numbers with falling units d, h, m, s, ms, us, ns, \
                           like \"1h30m\" or \"500ms\"";

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

/// Units from long to short, in nanoseconds.
const UNITS: [(&str, u64); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Whole numbers with units, the longest unit first, nothing between them; `None` for all else.
fn parse(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut units = &UNITS[..];
    let mut total = Duration::ZERO;
    loop {
        let (number, after) = split(rest, |byte| byte.is_ascii_digit());
        let (unit, after) = split(after, |byte| byte.is_ascii_alphabetic());
        let at = units.iter().position(|(name, _)| *name == unit)?;
        total = total.checked_add(times(number.parse().ok()?, units[at].1)?)?;
        units = &units[at + 1..];
        rest = after;
        if rest.is_empty() {
            return Some(total);
        }
    }
}

fn split(text: &str, belongs: impl Fn(u8) -> bool) -> (&str, &str) {
    text.split_at(text.bytes().position(|byte| !belongs(byte)).unwrap_or(text.len()))
}

fn times(count: u64, unit: u64) -> Option<Duration> {
    let nanos = u128::from(count) * u128::from(unit);
    let seconds = u64::try_from(nanos / 1_000_000_000).ok()?;
    Some(Duration::new(seconds, (nanos % 1_000_000_000) as u32))
}

#[cfg(test)]
mod tests {
    use super::parse;
    use std::time::Duration;

    #[test]
    fn whole_numbers_with_falling_units() {
        for (text, millis) in [
            ("500ms", 500),
            ("0s", 0),
            ("1h30m", 5_400_000),
            ("1d2h3m4s5ms", 93_784_005),
            ("90m", 5_400_000),
        ] {
            assert_eq!(parse(text), Some(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(parse("7us9ns"), Some(Duration::from_nanos(7_009)));
    }

    #[test]
    fn nothing_else() {
        let too_long = format!("{}d", u64::MAX);
        let over = format!("{0}s1000ms", u64::MAX);
        for text in [
            "", " ", "5", "s", "1.5s", "-1s", "+1s", "1 s", "1s ", "1s1s", "1m1h", "1sec", "1S", "１s",
            "1µs", "1w", "0", "1h30", &too_long, &over,
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
