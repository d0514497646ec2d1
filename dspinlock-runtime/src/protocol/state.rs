//! The state entry, `<tag>,<timestamp>,<0 or 1>`: parsed leniently, printed exactly.
//!
//! py-dspinlock writes and reads the same text. The Lua scripts have the same parser (`scripts/shared/read.lua`).

use std::fmt;

use crate::protocol::timestamp::{self, Timestamp};

/// The maximum length of a state in bytes.
pub const MAX_STATE: usize = 256;

/// The maximum length of a tag in a state.
pub const MAX_TAG: usize = 128;

/// The parsed state of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State<'a> {
    /// The holder's tag.
    pub tag: &'a str,
    /// The time of the grant or of the publish, in microseconds since 1970.
    pub timestamp: i64,
    /// Whether the number is 1 (COMPUTED) and not 0 (BLOCKED).
    pub computed: bool,
}

/// Why bytes are not an entry of this format. A store leaves them unchanged, and no message quotes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadState {
    /// The bytes do not have the form of a state, or the head is damaged.
    Malformed,
    /// The bytes have the form, but the number is neither 0 nor 1.
    Number,
}

impl<'a> State<'a> {
    /// Parses a state of this crate, of py-dspinlock, or of another writer that uses RFC 3339.
    ///
    /// # Errors
    ///
    /// [`BadState`] if the bytes are not a state. A timestamp without `Z` or an offset is malformed.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BadState> {
        let text = std::str::from_utf8(bytes)
            .ok()
            .filter(|text| text.len() <= MAX_STATE)
            .ok_or(BadState::Malformed)?;
        let mut tokens = text.split(',');
        let (Some(tag), Some(time), Some(number), None) =
            (tokens.next(), tokens.next(), tokens.next(), tokens.next())
        else {
            return Err(BadState::Malformed);
        };
        let timestamp = timestamp::parse(time.as_bytes())
            .filter(|_| is_tag(tag.as_bytes()))
            .ok_or(BadState::Malformed)?;
        match number {
            "0" | "1" => Ok(Self {
                tag,
                timestamp,
                computed: number == "1",
            }),
            _ if is_integer(number) => Err(BadState::Number),
            _ => Err(BadState::Malformed),
        }
    }
}

impl fmt::Display for State<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (time, number) = (Timestamp(self.timestamp), u8::from(self.computed));
        write!(f, "{},{time},{number}", self.tag)
    }
}

/// Whether the text is 1 to 128 printable ASCII characters without a comma.
fn is_tag(text: &[u8]) -> bool {
    let is_good = |byte: &u8| byte.is_ascii_graphic() && *byte != b',';
    (1..=MAX_TAG).contains(&text.len()) && text.iter().all(is_good)
}

fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_state_round_trips() {
        let state = State {
            tag: "t",
            timestamp: 1_795_416_240_000_007,
            computed: true,
        };
        assert_eq!(state.to_string(), "t,2026-11-23T06:44:00.000007+00:00,1");
        assert_eq!(State::parse(state.to_string().as_bytes()), Ok(state));
    }

    #[test]
    fn bytes_without_the_form_of_a_state_are_malformed() {
        let long = format!("{},1970-01-01T00:00:00Z,0", "t".repeat(MAX_TAG + 1));
        for text in [
            long.as_bytes(),
            b"",
            b"a,b",
            b",1970-01-01T00:00:00Z,0",
            b"a,1970-01-01T00:00:00,0",
            b"a,1970-01-01T00:00:00Z,x",
            b"a,b,c,d",
            b"\xff,1970-01-01T00:00:00Z,0",
        ] {
            assert_eq!(State::parse(text), Err(BadState::Malformed), "{text:?}");
        }
    }

    #[test]
    fn a_number_other_than_zero_and_one_is_reported() {
        for number in ["2", "-1", "00", "12345678901234567890"] {
            let text = format!("a,1970-01-01T00:00:00Z,{number}");
            assert_eq!(State::parse(text.as_bytes()), Err(BadState::Number), "{text}");
        }
    }
}
