//! The value entry: a header of one line of text, then the payload.
//!
//! ```text
//! dspinlock1,<tag>,<fence>,<value's tag or ->,<value's fence>,<created at µs>,<fresh until ms>,<elapsed µs>,<length>,<crc32>,
//! <process id>,<host>,<site>⏎<payload>
//! ```
//!
//! The header is text, so that `GETRANGE` shows an operator the holder. Only the last field may contain commas. The Lua
//! scripts read and write the same line (`scripts/read.lua`).

use std::fmt;

use bytes::Bytes;
use memchr::memchr;

use crate::protocol::state::is_tag;

/// The first field of every header, with the version of the format.
pub const VERSION: &str = "dspinlock1";

/// The maximum length of a header in bytes, with its line end.
pub const MAX_HEADER: usize = 1024;

/// The greatest fence. Lua represents every integer up to it exactly.
pub const MAX_FENCE: u64 = (1 << 53) - 1;

/// The line before a payload: the holder of the key, and the facts of the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The holder's tag.
    pub tag: String,
    /// The holder's fence.
    pub fence: u64,
    /// The facts of the value, if there is one.
    pub value: Option<Stored>,
    /// The process that wrote the header.
    pub holder: Holder,
}

/// The facts of a stored value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored<Tag = String> {
    /// The tag of the publish.
    pub tag: Tag,
    /// The fence of the publish.
    pub fence: u64,
    /// The time of the publish by the store's clock, in microseconds since 1970.
    pub created_at: u64,
    /// The end of the ttl by the store's clock, in milliseconds since 1970.
    pub fresh_until: u64,
    /// The duration of the computation, in microseconds.
    pub elapsed: u64,
    /// The payload's length in bytes.
    pub length: usize,
    /// The payload's CRC-32.
    pub checksum: u32,
}

/// The process that holds a key. It is for operators: no decision depends on it.
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
    /// A holder whose texts fit into a header: without control characters, the host without commas and at most 64 bytes
    /// long, the site at most 256.
    pub fn new(process: u32, host: &str, site: &str) -> Self {
        Self {
            process: process.into(),
            host: match host.contains(',') {
                true => field(&host.replace(',', "?"), 64),
                false => field(host, 64),
            },
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
                    value.tag, value.fence, value.created_at, value.fresh_until
                )?;
                write!(f, "{},{},{:08x},", value.elapsed, value.length, value.checksum)?;
            }
        }
        writeln!(f, "{}", self.holder)
    }
}

/// A header and its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// The header.
    pub header: Header,
    /// The encoded value, empty if there is none.
    pub payload: Bytes,
}

impl Value {
    /// Parses an entry. `None` if this version would not have written these bytes.
    pub fn parse(bytes: &Bytes) -> Option<Self> {
        let header = HeaderRef::parse(bytes, bytes.len())?;
        let payload = bytes.slice(header.end..);
        let header = header.into();
        Some(Self { header, payload })
    }

    /// The bytes of the entry.
    pub fn print(&self) -> Bytes {
        let mut bytes = self.header.to_string().into_bytes();
        bytes.extend_from_slice(&self.payload);
        bytes.into()
    }
}

/// A computed value that was read from a store, without a copy of its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// The encoded value.
    pub payload: Bytes,
    /// The tag of the publish, a text.
    pub tag: Bytes,
    /// The fence of the publish.
    pub fence: u64,
    /// The ttl of the publish, in milliseconds.
    pub life: u64,
    /// The payload's CRC-32 at the time of the publish.
    pub checksum: u32,
}

impl Hit {
    /// The value in the bytes of an entry, `None` if there is none.
    pub fn parse(bytes: &Bytes) -> Option<Self> {
        HeaderRef::parse(bytes, bytes.len())?.hit(bytes)
    }

    /// Whether the payload matches its checksum.
    pub fn is_intact(&self) -> bool {
        self.checksum == crc32fast::hash(&self.payload)
    }
}

/// A header that borrows from the bytes of a valid entry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeaderRef<'a> {
    pub tag: &'a [u8],
    pub fence: u64,
    pub value: Option<Stored<&'a [u8]>>,
    holder: (u64, &'a [u8], &'a [u8]),
    /// The offset of the payload.
    end: usize,
}

impl<'a> HeaderRef<'a> {
    /// Parses the header of an entry of `length` bytes. `bytes` are at least its first [`MAX_HEADER`].
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
            created_at: fields.number()?,
            fresh_until: fields.number()?,
            elapsed: fields.number()?,
            length: fields.number()?.try_into().ok()?,
            checksum: fields.hex()?,
        };
        let holder = (fields.number()?, fields.text()?, fields.0);
        let header = Self {
            tag,
            fence,
            value: (stored.tag != b"-").then_some(stored),
            holder,
            end: end + 1,
        };
        let payload = header.value.map_or(0, |value| value.length);
        (fence <= MAX_FENCE && length.checked_sub(header.end) == Some(payload)).then_some(header)
    }

    /// The value in the `bytes` that this header was parsed from.
    pub(crate) fn hit(&self, bytes: &Bytes) -> Option<Hit> {
        let value = self.value?;
        Some(Hit {
            payload: bytes.slice(self.end..),
            tag: bytes.slice_ref(value.tag),
            fence: value.fence,
            life: value.fresh_until.saturating_sub(value.created_at / 1000),
            checksum: value.checksum,
        })
    }
}

impl From<HeaderRef<'_>> for Header {
    fn from(header: HeaderRef<'_>) -> Self {
        let (process, host, site) = header.holder;
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Self {
            tag: text(header.tag),
            fence: header.fence,
            value: header.value.map(|value| Stored {
                tag: text(value.tag),
                fence: value.fence,
                created_at: value.created_at,
                fresh_until: value.fresh_until,
                elapsed: value.elapsed,
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

/// The unread fields of a header. Every hit is parsed by this type, so it looks at no byte twice.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// The first `length` bytes. A comma must follow.
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

    /// A tag. Faster than [`tag`](Self::tag) if it is equal to `tag`.
    fn tag_like(&mut self, tag: &[u8]) -> Option<&'a [u8]> {
        if self.0.starts_with(tag) && self.0.get(tag.len()) == Some(&b',') {
            return self.take(tag.len());
        }
        self.tag()
    }

    /// 1 to 16 digits, without a sign. Lua represents such a number exactly.
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

/// The text without control characters, cut to at most `limit` bytes.
fn field(text: &str, limit: usize) -> String {
    if text.len() <= limit && !text.contains(char::is_control) {
        return text.to_owned();
    }
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
            created_at: 8,
            fresh_until: 9,
            elapsed: 10,
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
    fn a_printed_value_round_trips() {
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
    fn a_truncated_or_foreign_value_is_none() {
        let bytes = value().print();
        for end in 0..bytes.len() {
            assert_eq!(Value::parse(&bytes.slice(..end)), None, "truncated at {end}");
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
    fn a_holder_fits_into_one_line() {
        let holder = Holder::new(1, &"h,\n".repeat(30), &format!("a\nb\0{}", "é".repeat(200)));
        assert!(holder.site.starts_with("a?b?é") && holder.site.len() == 256);
        assert!(holder.host.starts_with("h??h??") && holder.host.len() == 64);
    }
}
