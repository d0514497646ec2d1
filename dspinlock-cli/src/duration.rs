//! Durations such as `1h30m`, in the form of the attribute: those of the command line, and those of tables. Every subcommand
//! uses it.

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

/// At most two units, rounded down: `0.4s`, `12s`, `5m12s`, `3h20m`, `2d4h`.
pub(crate) fn short(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let two = |large: u64, unit: &str, small: u64, next: &str| match small {
        0 => format!("{large}{unit}"),
        small => format!("{large}{unit}{small}{next}"),
    };
    match seconds {
        0..10 => format!("{seconds}.{}s", duration.subsec_millis() / 100),
        10..60 => format!("{seconds}s"),
        60..3_600 => two(seconds / 60, "m", seconds % 60, "s"),
        3_600..86_400 => two(seconds / 3_600, "h", seconds / 60 % 60, "m"),
        _ => two(seconds / 86_400, "d", seconds / 3_600 % 24, "h"),
    }
}

/// Splits `text` before the first byte that does not match.
fn split(text: &str, matches: impl Fn(u8) -> bool) -> (&str, &str) {
    text.split_at(text.bytes().position(|byte| !matches(byte)).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{read, short};

    #[test]
    fn a_short_duration_has_at_most_two_units() {
        for (millis, text) in [
            (0, "0.0s"),
            (1_299, "1.2s"),
            (9_999, "9.9s"),
            (59_999, "59s"),
            (60_000, "1m"),
            (312_000, "5m12s"),
            (12_000_000, "3h20m"),
            (3_600_000, "1h"),
            (187_200_000, "2d4h"),
        ] {
            assert_eq!(short(Duration::from_millis(millis)), text);
        }
    }

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
