//! Parses durations such as `1h30m`. `value` calls it. It checks no limits.

use std::time::Duration;

/// The units in nanoseconds, in descending order.
const UNITS: [(&str, u64); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Parses whole numbers with descending units and nothing between them. Returns `None` for any other text.
///
/// A number that is too large saturates, and is then refused like every duration above the limit.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut units = &UNITS[..];
    let mut total = Duration::ZERO;
    loop {
        let (number, after) = split(rest, |byte| byte.is_ascii_digit());
        let (unit, after) = split(after, |byte| byte.is_ascii_alphabetic());
        let at = units.iter().position(|(name, _)| *name == unit)?;
        if number.is_empty() {
            return None;
        }
        let count = number.parse().unwrap_or(u64::MAX);
        total = total.saturating_add(multiply(count, units[at].1));
        units = &units[at + 1..];
        rest = after;
        if rest.is_empty() {
            return Some(total);
        }
    }
}

/// The valid form of a text such as `10 min` or `1 week`.
pub(crate) fn suggestion(text: &str) -> Option<String> {
    let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let mut rest = &*text;
    let mut valid = String::new();
    while !rest.is_empty() {
        let (number, after) = split(rest, |byte| byte.is_ascii_digit());
        let (word, after) = split(after, |byte| byte.is_ascii_alphabetic());
        let (factor, unit) = match word {
            // A capital may be meant as months.
            "M" => return None,
            word => unit(&word.to_ascii_lowercase())?,
        };
        let count = number.parse::<u64>().ok()?.checked_mul(factor)?;
        valid += &format!("{count}{unit}");
        rest = after.trim_start_matches(',');
    }
    parse(&valid).map(|_| valid)
}

/// The unit that a word stands for, and how many of it.
fn unit(word: &str) -> Option<(u64, &'static str)> {
    let unit = match word {
        "w" | "wk" | "week" | "weeks" => return Some((7, "d")),
        "d" | "day" | "days" => "d",
        "h" | "hr" | "hrs" | "hour" | "hours" => "h",
        "m" | "min" | "mins" | "minute" | "minutes" => "m",
        "s" | "sec" | "secs" | "second" | "seconds" => "s",
        "ms" | "msec" | "millis" | "millisecond" | "milliseconds" => "ms",
        "us" | "usec" | "micros" | "microsecond" | "microseconds" => "us",
        "ns" | "nsec" | "nanos" | "nanosecond" | "nanoseconds" => "ns",
        _ => return None,
    };
    Some((1, unit))
}

/// Splits `text` before the first byte that does not match.
fn split(text: &str, matches: impl Fn(u8) -> bool) -> (&str, &str) {
    text.split_at(text.bytes().position(|byte| !matches(byte)).unwrap_or(text.len()))
}

fn multiply(count: u64, unit: u64) -> Duration {
    let nanos = u128::from(count) * u128::from(unit);
    match u64::try_from(nanos / 1_000_000_000) {
        Ok(seconds) => Duration::new(seconds, (nanos % 1_000_000_000) as u32),
        Err(_) => Duration::MAX,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{parse, suggestion};
    use crate::limits::MAX_DURATION;

    #[test]
    fn a_duration_is_whole_numbers_with_descending_units() {
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
    fn any_other_text_is_no_duration() {
        for text in [
            "", " ", "5", "s", "1.5s", "-1s", "+1s", "1 s", "1s ", "1s1s", "1m1h", "1sec", "1S", "１s",
            "1µs", "1w", "0", "1h30",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_usual_form_has_a_suggestion() {
        for (text, valid) in [
            ("10 min", "10m"),
            ("1w", "7d"),
            ("1 hour, 30 minutes", "1h30m"),
            ("1S", "1s"),
            ("250 millis", "250ms"),
        ] {
            assert_eq!(suggestion(text).as_deref(), Some(valid), "{text}");
        }
        for text in [
            "",
            "soon",
            "1.5s",
            "1 month",
            "3M",
            "1m1h",
            "min",
            "5",
            "-1s",
            "99999999999999999999w",
        ] {
            assert_eq!(suggestion(text), None, "{text}");
        }
    }

    #[test]
    fn a_number_that_is_too_large_saturates() {
        for text in [
            "99999999999999999999d",
            "18446744073709551615d",
            "18446744073709551615s1000ms",
        ] {
            assert!(parse(text) > Some(MAX_DURATION), "{text}");
        }
    }
}
