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

    use super::parse;
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
