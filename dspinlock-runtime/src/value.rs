//! The value on the wire: a header of one line of text, then the payload.
//!
//! ```text
//! dspinlock1,<tag>,<fence>,<value's tag or ->,<value's fence>,<made µs>,<fresh until ms>,<took µs>,<length>,<crc32>,
//! <process id>,<host>,<site>⏎<payload>
//! ```
//!
//! Text, so that a person can see with `GETRANGE` who holds what; every field but the last is free of commas. The Lua
//! scripts read and write the same line (`scripts/read.lua`).

use std::fmt;
use std::sync::LazyLock;

use bytes::Bytes;

use crate::state::is_tag;

/// The first field of every header; it bears the version of the format.
pub const VERSION: &str = "dspinlock1";

/// No header is longer, its line end included.
pub const MAX_HEADER: usize = 1024;

/// The greatest fence: every number up to it is exact in a Lua number too.
pub const MAX_FENCE: u64 = (1 << 53) - 1;

/// What precedes a payload: who holds the key, and what the value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The holder's tag.
    pub tag: String,
    /// The holder's fence.
    pub fence: u64,
    /// The value, where there is one.
    pub value: Option<Stored>,
    /// Who wrote it.
    pub holder: Holder,
}

/// A value's own facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The tag it was published under.
    pub tag: String,
    /// The fence it was published under.
    pub fence: u64,
    /// When it was published: the store's clock, microseconds since 1970.
    pub made: u64,
    /// Until when it is fresh: the store's clock, milliseconds since 1970.
    pub fresh_until: u64,
    /// How long it took to compute, in microseconds.
    pub took: u64,
    /// The payload's length in bytes.
    pub length: usize,
    /// The payload's CRC-32.
    pub checksum: u32,
}

/// Who holds a key, for people to read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Holder {
    /// The process id.
    pub process: u64,
    /// The host's name.
    pub host: String,
    /// The site's name.
    pub site: String,
}

impl Holder {
    /// This process, on behalf of `site`.
    pub fn here(site: &str) -> Self {
        static HOST: LazyLock<String> =
            LazyLock::new(|| field(&gethostname::gethostname().to_string_lossy(), 64).replace(',', "?"));
        Self {
            process: std::process::id().into(),
            host: HOST.clone(),
            site: field(site, 256),
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{},{}", self.process, self.host, self.site)
    }
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{VERSION},{},{},", self.tag, self.fence)?;
        match &self.value {
            None => f.write_str("-,0,0,0,0,0,0,")?,
            Some(value) => {
                write!(
                    f,
                    "{},{},{},{},",
                    value.tag, value.fence, value.made, value.fresh_until
                )?;
                write!(f, "{},{},{:08x},", value.took, value.length, value.checksum)?;
            }
        }
        writeln!(f, "{}", self.holder)
    }
}

/// A header together with its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// What is known of it.
    pub header: Header,
    /// The encoded value; empty where there is none.
    pub payload: Bytes,
}

impl Value {
    /// Takes apart what a store holds. `None` for everything that this version would not have written whole.
    pub fn parse(bytes: &Bytes) -> Option<Self> {
        let header = Header::of(bytes, bytes.len())?;
        let length = header.value.as_ref().map_or(0, |value| value.length);
        let payload = bytes.slice(bytes.len() - length..);
        Some(Self { header, payload })
    }

    /// Whether the payload is what was published.
    pub fn is_intact(&self) -> bool {
        self.header
            .value
            .as_ref()
            .is_some_and(|value| value.checksum == crc32fast::hash(&self.payload))
    }

    /// What a store is to hold.
    pub fn print(&self) -> Bytes {
        let mut bytes = self.header.to_string().into_bytes();
        bytes.extend_from_slice(&self.payload);
        bytes.into()
    }
}

impl Header {
    /// The header of `length` bytes, of which `bytes` are the first [`MAX_HEADER`] at least. `None` as of [`Value::parse`].
    pub fn of(bytes: &[u8], length: usize) -> Option<Self> {
        let bytes = &bytes[..bytes.len().min(MAX_HEADER)];
        let mut rest = bytes;
        let header = Self::parse(&mut rest)?;
        let payload = length.checked_sub(bytes.len() - rest.len())?;
        let stored = header.value.as_ref().map_or(0, |value| value.length);
        (payload == stored).then_some(header)
    }

    /// One pass over the line, as every hit goes through here; `rest` is what stands behind it.
    fn parse(rest: &mut &[u8]) -> Option<Self> {
        let mut next = || until(rest, b',');
        let (version, tag, fence, value_tag) = (next()?, tag(next()?), next()?, tag(next()?));
        if version != VERSION.as_bytes() {
            return None;
        }
        let (tag, value_tag) = (tag?, value_tag?);
        let stored = Stored {
            tag: value_tag.into(),
            fence: number(next()?)?,
            made: number(next()?)?,
            fresh_until: number(next()?)?,
            took: number(next()?)?,
            length: number(next()?)?.try_into().ok()?,
            checksum: hex(next()?)?,
        };
        Some(Self {
            tag: tag.into(),
            fence: number(fence).filter(|fence| *fence <= MAX_FENCE)?,
            value: (value_tag != "-").then_some(stored),
            holder: Holder {
                process: number(next()?)?,
                host: String::from_utf8_lossy(next()?).into(),
                site: String::from_utf8_lossy(until(rest, b'\n')?).into(),
            },
        })
    }
}

/// What stands before the next `end` of this line, which is taken away with it.
fn until<'a>(rest: &mut &'a [u8], end: u8) -> Option<&'a [u8]> {
    let at = rest.iter().position(|byte| *byte == end || *byte == b'\n')?;
    let (field, behind) = rest.split_at(at);
    *rest = behind.strip_prefix(&[end])?;
    Some(field)
}

fn tag(text: &[u8]) -> Option<&str> {
    std::str::from_utf8(text).ok().filter(|text| is_tag(text))
}

/// Digits alone: no sign, no space, and few enough to be exact in a Lua number.
fn number(text: &[u8]) -> Option<u64> {
    if !(1..=16).contains(&text.len()) {
        return None;
    }
    text.iter().try_fold(0, |sum, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit <= 9).then_some(sum * 10 + u64::from(digit))
    })
}

fn hex(text: &[u8]) -> Option<u32> {
    if !(1..=8).contains(&text.len()) {
        return None;
    }
    text.iter()
        .try_fold(0, |sum, byte| Some(sum << 4 | char::from(*byte).to_digit(16)?))
}

/// One line of at most `limit` bytes.
fn field(text: &str, limit: usize) -> String {
    let mut line: String = text
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect();
    while line.len() > limit {
        line.pop();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value() -> Value {
        let payload = Bytes::from_static(b"pay\nload");
        let checksum = crc32fast::hash(&payload);
        let stored = Stored {
            tag: "t".into(),
            fence: 7,
            made: 8,
            fresh_until: 9,
            took: 10,
            length: payload.len(),
            checksum,
        };
        let holder = Holder {
            process: 1,
            host: "h".into(),
            site: "f<A, B>".into(),
        };
        Value {
            header: Header {
                tag: "t".into(),
                fence: 7,
                value: Some(stored),
                holder,
            },
            payload,
        }
    }

    #[test]
    fn what_is_printed_is_read_again() {
        let value = value();
        assert_eq!(Value::parse(&value.print()), Some(value.clone()));
        assert!(value.is_intact());
        let mut none = value;
        none.header.value = None;
        none.payload = Bytes::new();
        assert_eq!(Value::parse(&none.print()), Some(none));
    }

    #[test]
    fn a_torn_or_foreign_value_is_none() {
        let bytes = value().print();
        for end in 0..bytes.len() {
            assert_eq!(Value::parse(&bytes.slice(..end)), None, "cut at {end}");
        }
        assert_eq!(Value::parse(&Bytes::from([bytes.as_ref(), b"x"].concat())), None);
        assert_eq!(Value::parse(&Bytes::from(bytes.as_ref().replace_version())), None);
    }

    trait Replace {
        fn replace_version(&self) -> Vec<u8>;
    }

    impl Replace for [u8] {
        fn replace_version(&self) -> Vec<u8> {
            let mut bytes = self.to_vec();
            bytes[VERSION.len() - 1] = b'2';
            bytes
        }
    }

    #[test]
    fn names_are_made_fit_for_one_line() {
        let holder = Holder::here(&format!("a\nb\0{}", "é".repeat(200)));
        assert!(holder.site.starts_with("a?b?é") && holder.site.len() <= 256);
        assert!(!holder.host.contains(','));
    }
}
