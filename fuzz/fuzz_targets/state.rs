//! Compares the parser of the state with a second parser, which is a regular expression and a calendar of another crate.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use protocol::state::{BadState, MAX_STATE, State};
use regex_lite::{Captures, Regex};
use rooms::protocol;
use time::{Date, Month, Time};

#[allow(dead_code, unreachable_pub)]
#[path = "../../dspinlock-runtime/src"]
mod rooms {
    pub mod protocol {
        pub mod state;
        pub mod timestamp;
    }
}

fuzz_target!(|bytes: &[u8]| {
    let parsed = State::parse(bytes);
    assert_eq!(parsed, by_grammar(bytes));
    let Ok(state) = parsed else { return };
    // Because of its offset, a timestamp may be outside of the years that can be printed.
    if state.timestamp >= YEARS.0 && state.timestamp < YEARS.1 {
        assert_eq!(State::parse(state.to_string().as_bytes()), Ok(state));
    }
});

/// The years 0 to 9999, in microseconds since 1970.
const YEARS: (i64, i64) = (-62_167_219_200_000_000, 253_402_300_800_000_000);

/// Groups: tag, date, time of day, fraction, offset, number.
static GRAMMAR: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"^([!-+\--~]{1,128}),(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)",
        r"(?:\.(\d{1,9}))?(?:Z|([+-])([01]\d|2[0-3]):([0-5]\d)),(-?\d+)$",
    ))
    .expect("the regular expression is valid")
});

fn by_grammar(bytes: &[u8]) -> Result<State<'_>, BadState> {
    let text = str::from_utf8(bytes).map_err(|_| BadState::Malformed)?;
    let parts = GRAMMAR
        .captures(text)
        .filter(|_| text.len() <= MAX_STATE)
        .ok_or(BadState::Malformed)?;
    let timestamp = timestamp(&parts).ok_or(BadState::Malformed)?;
    let (tag, number) = (parts.get(1), parts.get(12));
    match number.map_or("", |number| number.as_str()) {
        number @ ("0" | "1") => Ok(State {
            tag: tag.map_or("", |tag| tag.as_str()),
            timestamp,
            computed: number == "1",
        }),
        _ => Err(BadState::Number),
    }
}

/// Returns `None` if the date or the time does not exist.
fn timestamp(parts: &Captures<'_>) -> Option<i64> {
    let number = |at: usize| {
        parts
            .get(at)
            .map_or(0, |digits| digits.as_str().parse::<u8>().unwrap_or(0))
    };
    let year = parts[2].parse().ok()?;
    let date = Date::from_calendar_date(year, Month::try_from(number(3)).ok()?, number(4)).ok()?;
    let time = Time::from_hms(number(5), number(6), number(7)).ok()?;
    let ahead = 3600 * i64::from(number(10)) + 60 * i64::from(number(11));
    let ahead = match parts.get(9).map(|sign| sign.as_str()) {
        Some("-") => -ahead,
        _ => ahead,
    };
    let fraction = parts.get(8).map_or("", |digits| digits.as_str());
    let micros: i64 = format!("{fraction:0<6}")[..6].parse().ok()?;
    let seconds = date.with_time(time).assume_utc().unix_timestamp() - ahead;
    Some(seconds * 1_000_000 + micros)
}
