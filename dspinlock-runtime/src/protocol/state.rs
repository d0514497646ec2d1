//! The state on the wire, `<tag>,<timestamp>,<0 or 1>`: parsed leniently, printed exactly.
//!
//! This is what py-dspinlock writes and reads. The Lua scripts hold the same parser (`scripts/read.lua`).

use std::fmt;

/// No state is longer, in bytes.
pub const MAX_STATE: usize = 256;

/// What the state of a key says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State<'a> {
    /// Whose it is.
    pub tag: &'a str,
    /// When it was taken, in microseconds since 1970.
    pub stamp: i64,
    /// 1 = COMPUTED, 0 = BLOCKED.
    pub computed: bool,
}

/// Why bytes are not a state. They are left as they are, and never quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadState {
    /// Not of the form of a state.
    Malformed,
    /// Of the form, but its number is neither 0 nor 1.
    Number,
}

impl<'a> State<'a> {
    /// Reads what Rust, Python or another careful writer has written: 0 to 9 fraction digits, `Z` or an offset.
    ///
    /// # Errors
    ///
    /// [`BadState`]; a timestamp without `Z` or offset is malformed, as its moment is unknown.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BadState> {
        let text = std::str::from_utf8(bytes)
            .ok()
            .filter(|text| text.len() <= MAX_STATE)
            .ok_or(BadState::Malformed)?;
        let mut tokens = text.split(',');
        let (Some(tag), Some(stamp), Some(number), None) =
            (tokens.next(), tokens.next(), tokens.next(), tokens.next())
        else {
            return Err(BadState::Malformed);
        };
        let stamp = parse_stamp(stamp.as_bytes())
            .filter(|_| is_tag(tag.as_bytes()))
            .ok_or(BadState::Malformed)?;
        match number {
            "0" | "1" => Ok(Self {
                tag,
                stamp,
                computed: number == "1",
            }),
            _ if is_integer(number) => Err(BadState::Number),
            _ => Err(BadState::Malformed),
        }
    }
}

impl fmt::Display for State<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (minute, micros) = (Minute::of(self.stamp), self.stamp.rem_euclid(MINUTE));
        let (second, fraction, number) = (micros / SECOND, micros % SECOND, u8::from(self.computed));
        write!(f, "{},{minute}{second:02}.{fraction:06}+00:00,{number}", self.tag)
    }
}

/// A minute of a stamp; printed, it is what the stamp begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Minute {
    /// Minutes since 1970.
    pub number: i64,
}

impl Minute {
    /// The minute of a moment in microseconds since 1970.
    pub fn of(stamp: i64) -> Self {
        Self {
            number: stamp.div_euclid(MINUTE),
        }
    }
}

impl fmt::Display for Minute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil(self.number.div_euclid(DAY / MINUTE));
        let minutes = self.number.rem_euclid(DAY / MINUTE);
        let (hour, minute) = (minutes / 60, minutes % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:")
    }
}

/// 1 to 64 printable bytes without a comma.
pub fn is_tag(text: &[u8]) -> bool {
    // Without an early end, so that many bytes are looked at at once.
    let good = |all, byte: &u8| all & byte.is_ascii_graphic() & (*byte != b',');
    (1..=64).contains(&text.len()) && text.iter().fold(true, good)
}

fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const DAY: i64 = 86_400 * SECOND;

/// `YYYY-MM-DDTHH:MM:SS`, a fraction of up to nine digits, then `Z` or `±HH:MM`.
fn parse_stamp(text: &[u8]) -> Option<i64> {
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

/// Seconds ahead of UTC.
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

/// Days since 1970 of a date of the Gregorian calendar; years begin in March (after Howard Hinnant's
/// "chrono-Compatible Low-Level Date Algorithms").
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

    fn stamp(text: &str) -> Result<i64, BadState> {
        State::parse(format!("tag,{text},0").as_bytes()).map(|state| state.stamp)
    }

    #[test]
    fn prints_exactly_what_python_can_read() {
        let state = State {
            tag: "t",
            stamp: 1_795_416_240_000_007,
            computed: true,
        };
        assert_eq!(state.to_string(), "t,2026-11-23T06:44:00.000007+00:00,1");
        assert_eq!(State::parse(state.to_string().as_bytes()), Ok(state));
    }

    #[test]
    fn every_day_of_eight_hundred_years_is_its_own_inverse() {
        for day in days(1600, 1, 1)..days(2400, 1, 1) {
            let (year, month, date) = civil(day);
            assert_eq!(days(year, month, date), day);
            assert!((1..=12).contains(&month) && (1..=month_length(year, month)).contains(&date));
        }
    }

    #[test]
    fn reads_leniently() {
        assert_eq!(stamp("1970-01-01T00:00:00Z"), Ok(0));
        assert_eq!(stamp("1970-01-01 00:00:00.5+00:00"), Ok(500_000));
        assert_eq!(stamp("1970-01-01T01:00:00.123456789+01:00"), Ok(123_456));
        assert_eq!(stamp("1969-12-31T19:00:00-05:00"), Ok(0));
        assert_eq!(stamp("1970-01-01T05:45:00+05:45"), Ok(0));
        assert_eq!(stamp("2000-02-29T00:00:00Z"), Ok(951_782_400_000_000));
        assert!(stamp("0000-01-01T00:00:00Z").is_ok() && stamp("9999-12-31T23:59:59Z").is_ok());
    }

    #[test]
    fn refuses_the_rest() {
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
            assert_eq!(stamp(text), Err(BadState::Malformed), "{text}");
        }
        let parse = |text: &str| State::parse(text.as_bytes()).unwrap_err();
        let long = format!("{},1970-01-01T00:00:00Z,0", "t".repeat(65));
        for text in [
            long.as_str(),
            "",
            "a,b",
            ",1970-01-01T00:00:00Z,0",
            "a,1970-01-01T00:00:00Z,x",
            "a,b,c,d",
        ] {
            assert_eq!(parse(text), BadState::Malformed, "{text}");
        }
        assert_eq!(
            State::parse(b"\xff,1970-01-01T00:00:00Z,0"),
            Err(BadState::Malformed)
        );
        for number in ["2", "-1", "00", "12345678901234567890"] {
            assert_eq!(
                parse(&format!("a,1970-01-01T00:00:00Z,{number}")),
                BadState::Number
            );
        }
    }
}
