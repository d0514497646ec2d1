//! Timestamps on the wire, as RFC 3339 text: parsed leniently, printed exactly.
//!
//! `state` parses and prints one; `isoformat` is public. This module is pure: it reads no clock.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const DAY: i64 = 86_400 * SECOND;

/// Parses `YYYY-MM-DDTHH:MM:SS`, an optional fraction of up to nine digits, then `Z` or `±HH:MM`. Returns microseconds
/// since 1970. `None` without `Z` or an offset, because the time is then unknown.
pub(crate) fn parse(text: &[u8]) -> Option<i64> {
    let (date_time, mut rest) = text.split_at_checked(19)?;
    let shape = date_time
        .iter()
        .zip(b"0000-00-00T00:00:00")
        .all(|(byte, form)| match form {
            b'0' => byte.is_ascii_digit(),
            b'T' => matches!(byte, b'T' | b' '),
            other => byte == other,
        });
    if !shape {
        return None;
    }
    let mut micros = 0;
    if let Some(fraction) = rest.strip_prefix(b".") {
        let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if !(1..=9).contains(&digits) {
            return None;
        }
        micros = (0..6).fold(0, |sum, at| {
            sum * 10
                + fraction[..digits]
                    .get(at)
                    .map_or(0, |byte| i64::from(byte - b'0'))
        });
        rest = &fraction[digits..];
    }
    let number = |from: usize, to: usize| {
        date_time[from..to]
            .iter()
            .fold(0, |sum, byte| sum * 10 + i64::from(byte - b'0'))
    };
    let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
    let (hour, minute, second) = (number(11, 13), number(14, 16), number(17, 19));
    if !(1..=12).contains(&month) || !(1..=month_length(year, month)).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - parse_offset(rest)?;
    Some(seconds * SECOND + micros)
}

/// Prints microseconds since 1970 as `YYYY-MM-DDTHH:MM:SS.ffffff+00:00`, which Python parses.
pub(crate) struct Timestamp(pub i64);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, rest) = (self.0.div_euclid(DAY), self.0.rem_euclid(DAY));
        let (year, month, day) = civil(days);
        let (hour, minute) = (rest / (60 * MINUTE), rest / MINUTE % 60);
        let (second, fraction) = (rest % MINUTE / SECOND, rest % SECOND);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:06}+00:00"
        )
    }
}

/// The text that Python's `isoformat()` gives for this time in UTC. As a key with `name = ""`, it shares its key with a Python
/// worker that passes the `datetime`.
///
/// Times of chrono, time and jiff convert to [`SystemTime`]. Python's `datetime` has microseconds, so digits behind them are
/// dropped, and the years 1 to 9999. In Python, convert a `datetime` of another offset with `.astimezone(timezone.utc)`.
///
/// ```
/// # use dspinlock_runtime as dspinlock;
/// use std::time::{Duration, UNIX_EPOCH};
///
/// let time = UNIX_EPOCH + Duration::from_micros(1_767_323_045_000_000);
/// assert_eq!(dspinlock::isoformat(time), "2026-01-02T03:04:05+00:00");
/// let time = time + Duration::from_millis(250);
/// assert_eq!(dspinlock::isoformat(time), "2026-01-02T03:04:05.250000+00:00");
/// ```
pub fn isoformat(time: impl Into<SystemTime>) -> String {
    let nanos = match time.into().duration_since(UNIX_EPOCH) {
        Ok(after) => i128::try_from(after.as_nanos()).unwrap_or(i128::MAX),
        Err(before) => i128::try_from(before.duration().as_nanos()).map_or(i128::MIN, |nanos| -nanos),
    };
    let micros = i64::try_from(nanos.div_euclid(1000)).unwrap_or(i64::MAX);
    let text = Timestamp(micros).to_string();
    // Python prints no fraction of zero.
    if micros % SECOND == 0 {
        text.replace(".000000", "")
    } else {
        text
    }
}

/// The offset from UTC in seconds.
fn parse_offset(text: &[u8]) -> Option<i64> {
    if text == b"Z" {
        return Some(0);
    }
    let [sign @ (b'+' | b'-'), h, hh, b':', m, mm] = text else {
        return None;
    };
    if ![h, hh, m, mm].iter().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let two = |tens: &u8, ones: &u8| i64::from(tens - b'0') * 10 + i64::from(ones - b'0');
    let (hours, minutes) = (two(h, hh), two(m, mm));
    if hours > 23 || minutes > 59 {
        return None;
    }
    Some((hours * 3600 + minutes * 60) * if *sign == b'+' { 1 } else { -1 })
}

fn month_length(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970 of a date in the Gregorian calendar. Years begin in March, as in Howard Hinnant's
/// "chrono-Compatible Low-Level Date Algorithms".
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse of [`days`].
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn microseconds(text: &str) -> Option<i64> {
        parse(text.as_bytes())
    }

    #[test]
    fn a_timestamp_is_printed_with_microseconds_and_offset() {
        assert_eq!(
            Timestamp(1_795_416_240_000_007).to_string(),
            "2026-11-23T06:44:00.000007+00:00"
        );
        assert_eq!(Timestamp(-1).to_string(), "1969-12-31T23:59:59.999999+00:00");
    }

    #[test]
    fn a_time_is_printed_as_by_python() {
        let after = |nanos| isoformat(UNIX_EPOCH + std::time::Duration::from_nanos(nanos));
        assert_eq!(after(0), "1970-01-01T00:00:00+00:00");
        assert_eq!(after(999), "1970-01-01T00:00:00+00:00");
        assert_eq!(after(1_000), "1970-01-01T00:00:00.000001+00:00");
        assert_eq!(after(1_500_000_000), "1970-01-01T00:00:01.500000+00:00");
        let before = isoformat(UNIX_EPOCH - std::time::Duration::from_nanos(1));
        assert_eq!(before, "1969-12-31T23:59:59.999999+00:00");
    }

    #[test]
    fn every_day_of_eight_hundred_years_round_trips() {
        for day in days(1600, 1, 1)..days(2400, 1, 1) {
            let (year, month, date) = civil(day);
            assert_eq!(days(year, month, date), day);
            assert!((1..=12).contains(&month) && (1..=month_length(year, month)).contains(&date));
        }
    }

    #[test]
    fn fractions_and_offsets_of_other_writers_are_parsed() {
        assert_eq!(microseconds("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(microseconds("1970-01-01 00:00:00.5+00:00"), Some(500_000));
        assert_eq!(microseconds("1970-01-01T01:00:00.123456789+01:00"), Some(123_456));
        assert_eq!(microseconds("1969-12-31T19:00:00-05:00"), Some(0));
        assert_eq!(microseconds("1970-01-01T05:45:00+05:45"), Some(0));
        assert_eq!(microseconds("2000-02-29T00:00:00Z"), Some(951_782_400_000_000));
        assert!(microseconds("0000-01-01T00:00:00Z").is_some());
        assert!(microseconds("9999-12-31T23:59:59Z").is_some());
    }

    #[test]
    fn a_text_that_is_not_a_timestamp_is_none() {
        for text in [
            "",
            "now",
            "1970-01-01T00:00:00",
            "1970-13-01T00:00:00Z",
            "1970-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "1970-04-31T00:00:00Z",
            "1970-01-01T24:00:00Z",
            "1970-01-01T00:60:00Z",
            "1970-01-01T00:00:60Z",
            "1970-01-01T00:00:00.Z",
            "1970-01-01T00:00:00.0123456789Z",
            "1970-01-01T00:00:00+0000",
            "1970-01-01T00:00:00+24:00",
            "1970-01-01T00:00:00Zz",
        ] {
            assert_eq!(microseconds(text), None, "{text}");
        }
    }
}
