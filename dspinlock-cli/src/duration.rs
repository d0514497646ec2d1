//! Durations such as `1h30m` on the command line, in the form of the attribute. Every subcommand uses it.

use std::time::Duration;

/// The units in milliseconds, in descending order.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Parses whole numbers with descending units and nothing between them.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    read(text)
        .ok_or_else(|| "a duration is whole numbers with units, such as `90s`, `1h30m` or `500ms`".into())
}

fn read(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut units = &UNITS[..];
    let mut total = 0_u64;
    loop {
        let (number, after) = split(rest, |byte| byte.is_ascii_digit());
        let (unit, after) = split(after, |byte| byte.is_ascii_alphabetic());
        let at = units.iter().position(|(name, _)| *name == unit)?;
        let millis = number.parse::<u64>().ok()?.checked_mul(units[at].1)?;
        total = total.checked_add(millis)?;
        units = &units[at + 1..];
        rest = after;
        if rest.is_empty() {
            return Some(Duration::from_millis(total));
        }
    }
}

/// Splits `text` before the first byte that does not match.
fn split(text: &str, matches: impl Fn(u8) -> bool) -> (&str, &str) {
    text.split_at(text.bytes().position(|byte| !matches(byte)).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn a_duration_is_whole_numbers_with_descending_units() {
        for (text, millis) in [
            ("500ms", 500),
            ("0s", 0),
            ("1h30m", 5_400_000),
            ("1d2h3m4s5ms", 93_784_005),
        ] {
            assert_eq!(
                read(text).map(|duration| duration.as_millis()),
                Some(millis),
                "{text}"
            );
        }
    }

    #[test]
    fn any_other_text_is_no_duration() {
        for text in [
            "",
            "5",
            "s",
            "1.5s",
            "-1s",
            "1 s",
            "1s1s",
            "1m1h",
            "1sec",
            "0",
            "1h30",
            "99999999999999d",
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }
}
