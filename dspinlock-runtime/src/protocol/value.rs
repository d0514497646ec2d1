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
use memchr::memchr;

use crate::protocol::state::is_tag;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored<Tag = String> {
    /// The tag it was published under.
    pub tag: Tag,
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
        let line = Line::parse(bytes, bytes.len())?;
        let payload = bytes.slice(line.end..);
        let header = line.into();
        Some(Self { header, payload })
    }

    /// What a store is to hold.
    pub fn print(&self) -> Bytes {
        let mut bytes = self.header.to_string().into_bytes();
        bytes.extend_from_slice(&self.payload);
        bytes.into()
    }
}

/// A computed value on its way to those who asked: nothing of it is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// The encoded value.
    pub payload: Bytes,
    /// The tag it was published under, a text.
    pub tag: Bytes,
    /// The fence it was published under.
    pub fence: u64,
    /// How long it was to live when it was published, in milliseconds.
    pub life: u64,
    /// The payload's CRC-32 when it was published.
    pub checksum: u32,
}

impl Hit {
    /// The value in what a store holds. `None` where there is none.
    pub fn parse(bytes: &Bytes) -> Option<Self> {
        Line::parse(bytes, bytes.len())?.hit(bytes)
    }

    /// Whether the payload is what was published.
    pub fn is_intact(&self) -> bool {
        self.checksum == crc32fast::hash(&self.payload)
    }
}

/// A header as it lies in the bytes, of the right form and with a payload of the right length behind it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'a> {
    pub tag: &'a [u8],
    pub fence: u64,
    pub value: Option<Stored<&'a [u8]>>,
    holder: (u64, &'a [u8], &'a [u8]),
    /// Where the payload begins.
    end: usize,
}

impl<'a> Line<'a> {
    /// The header of `length` bytes, of which these are the first [`MAX_HEADER`] at least.
    pub(crate) fn parse(bytes: &'a [u8], length: usize) -> Option<Self> {
        let end = memchr(b'\n', &bytes[..bytes.len().min(MAX_HEADER)])?;
        let mut fields = Fields(&bytes[..end]);
        if fields.text()? != VERSION.as_bytes() {
            return None;
        }
        let (tag, fence) = (fields.tag()?, fields.number()?);
        let stored = Stored {
            tag: fields.tag_like(tag)?,
            fence: fields.number()?,
            made: fields.number()?,
            fresh_until: fields.number()?,
            took: fields.number()?,
            length: fields.number()?.try_into().ok()?,
            checksum: fields.hex()?,
        };
        let holder = (fields.number()?, fields.text()?, fields.0);
        let line = Self {
            tag,
            fence,
            value: (stored.tag != b"-").then_some(stored),
            holder,
            end: end + 1,
        };
        let payload = line.value.map_or(0, |value| value.length);
        (fence <= MAX_FENCE && length.checked_sub(line.end) == Some(payload)).then_some(line)
    }

    /// The value in these `bytes`, whose line this is.
    pub(crate) fn hit(&self, bytes: &Bytes) -> Option<Hit> {
        let value = self.value?;
        Some(Hit {
            payload: bytes.slice(self.end..),
            tag: bytes.slice_ref(value.tag),
            fence: value.fence,
            life: value.fresh_until.saturating_sub(value.made / 1000),
            checksum: value.checksum,
        })
    }
}

impl From<Line<'_>> for Header {
    fn from(line: Line<'_>) -> Self {
        let (process, host, site) = line.holder;
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Self {
            tag: text(line.tag),
            fence: line.fence,
            value: line.value.map(|value| Stored {
                tag: text(value.tag),
                fence: value.fence,
                made: value.made,
                fresh_until: value.fresh_until,
                took: value.took,
                length: value.length,
                checksum: value.checksum,
            }),
            holder: Holder {
                process,
                host: text(host),
                site: text(site),
            },
        }
    }
}

/// The fields of a line that were not read yet. Every hit goes through here: no byte is looked at twice.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// The first `length` bytes, which a comma must follow.
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (field, behind) = self.0.split_at_checked(length)?;
        self.0 = behind.strip_prefix(b",")?;
        Some(field)
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        self.take(memchr(b',', self.0)?)
    }

    fn tag(&mut self) -> Option<&'a [u8]> {
        self.text().filter(|text| is_tag(text))
    }

    /// A tag that most likely is this one.
    fn tag_like(&mut self, tag: &[u8]) -> Option<&'a [u8]> {
        if self.0.starts_with(tag) && self.0.get(tag.len()) == Some(&b',') {
            return self.take(tag.len());
        }
        self.tag()
    }

    /// Digits alone: no sign, no space, and few enough to be exact in a Lua number.
    fn number(&mut self) -> Option<u64> {
        let (mut sum, mut length) = (0, 0);
        for byte in self.0 {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            if length == 16 {
                return None;
            }
            sum = sum * 10 + u64::from(digit);
            length += 1;
        }
        self.take(length).filter(|_| length > 0).map(|_| sum)
    }

    fn hex(&mut self) -> Option<u32> {
        let text = self.text().filter(|text| (1..=8).contains(&text.len()))?;
        text.iter()
            .try_fold(0, |sum, byte| Some(sum << 4 | char::from(*byte).to_digit(16)?))
    }
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
        assert!(Hit::parse(&value.print()).is_some_and(|hit| hit.is_intact()));
        let mut none = value;
        none.header.value = None;
        none.payload = Bytes::new();
        assert_eq!(Hit::parse(&none.print()), None);
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
