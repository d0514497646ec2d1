//! The header of an entry of the single encoding: the line behind the head. A value has its payload behind it.
//!
//! ```text
//! B…  <process id>,<host>,<check>,<label>,<site>⏎
//! V…  <process id>,<host>,<took ms>,<ttl ms>,<stale window ms>,<crc32>,<key check>,<flags>,<check>,<label>,<site>⏎<payload>
//! M…  as V, without a payload
//! ```
//!
//! The header is text, so that `GETRANGE` shows an operator the holder. Only the last field may contain commas. `check` and
//! `label` are empty unless the site has `validate` or `label`. No script parses a header.

use std::fmt;
use std::time::Duration;

use bytes::{Buf, Bytes};
use memchr::memchr;

use crate::protocol::tag::{Head, Id, Kind};

/// The maximum length of a header in bytes, with its line end.
pub const MAX_HEADER: usize = 512;

/// The maximum length of a label in bytes.
const MAX_LABEL: usize = 64;

/// The maximum length of head and header together.
pub const MAX_LINE: usize = Head::LENGTH + MAX_HEADER;

/// The last bytes of a key's digest as base64url. They distinguish the value of one key from that of another.
pub type KeyCheck = [u8; 11];

/// A salted digest of what a site validates beside its key, as base64url.
pub type Check = [u8; 22];

/// The call that writes an entry. It is for operators; only the check decides something.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The process id.
    pub process: u64,
    /// The host's name.
    pub host: String,
    /// The site's name.
    pub site: String,
    /// What the call is about, in the words of its site. Empty if it has none.
    pub label: String,
    /// What the site validates. `None` if it has no `validate`.
    pub check: Option<Check>,
}

impl Origin {
    /// An origin whose texts fit into a header: without control characters, the host without commas and at most 64 bytes
    /// long, the site at most 256.
    pub fn new(process: u32, host: &str, site: &str) -> Self {
        Self {
            process: process.into(),
            host: field(host, 64, |c| c == ','),
            site: field(site, 256, |_| false),
            label: String::new(),
            check: None,
        }
    }

    /// The same origin with a label, without control characters and commas, and at most 64 bytes long.
    pub fn with_label(mut self, label: &str) -> Self {
        self.label = field(label, MAX_LABEL, |c| c == ',');
        self
    }

    /// The header of a lock that is held.
    pub(crate) fn blocked(&self) -> String {
        format!("{},{},{}\n", self.process, self.host, self.end())
    }

    /// The last fields of each header.
    fn end(&self) -> String {
        let check = self
            .check
            .as_ref()
            .map_or("", |check| std::str::from_utf8(check).unwrap_or_default());
        format!("{check},{},{}", self.label, self.site)
    }

    /// The origin in a header. `None` if it does not parse.
    pub(crate) fn parse(kind: Kind, header: &[u8]) -> Option<Self> {
        let mut fields = Fields(header);
        let (process, host) = (fields.number()?, fields.text()?);
        let skipped = if kind == Kind::Blocked { 0 } else { 6 };
        for _ in 0..skipped {
            fields.text()?;
        }
        let (check, label) = (fields.text()?, fields.text()?);
        // Another program may have written the entry.
        let text = |bytes, limit| field(&String::from_utf8_lossy(bytes), limit, |_| false);
        Some(Self {
            process,
            host: text(host, 64),
            site: text(fields.0, 256),
            label: text(label, MAX_LABEL),
            check: check.try_into().ok(),
        })
    }
}

/// Whether two calls of one key validate other values. A call that validates nothing agrees with all.
pub fn differs(one: Option<Check>, other: Option<Check>) -> bool {
    one.zip(other).is_some_and(|(one, other)| one != other)
}

/// What the writer of an entry has validated, from its head and header.
pub(crate) fn check(line: &[u8]) -> Option<Check> {
    let kind = Head::parse(line)?.kind;
    Origin::parse(kind, &line[Head::LENGTH..])?.check
}

/// The facts of a published result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// The duration of the computation, in milliseconds.
    pub took: u64,
    /// The ttl, in milliseconds.
    pub ttl: u64,
    /// The time after the ttl in which the value may still be used, in milliseconds.
    pub stale_window: u64,
    /// The payload's CRC-32.
    pub checksum: u32,
    /// The end of the key's digest.
    pub key_check: KeyCheck,
    /// What the payload is.
    pub flag: Flag,
}

/// What a payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Flag {
    /// A value.
    #[default]
    Value,
    /// A recorded error, for every call of its site.
    Error,
    /// A recorded error, for the calls that have waited for the holder who wrote it.
    ErrorForWaiters,
}

impl Flag {
    fn parse(text: &[u8]) -> Option<Self> {
        match text {
            b"ok" => Some(Self::Value),
            b"err" => Some(Self::Error),
            b"end" => Some(Self::ErrorForWaiters),
            _ => None,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Value => "ok",
            Self::Error => "err",
            Self::ErrorForWaiters => "end",
        }
    }
}

impl Facts {
    /// The time since the publish, `remaining` milliseconds before the expiry.
    pub(crate) fn age(&self, remaining: u64) -> Duration {
        let lifetime = self.ttl.saturating_add(self.stale_window);
        Duration::from_millis(lifetime.saturating_sub(remaining))
    }

    /// The header of a result, and the offset of the payload in the parsed `header`.
    fn parse(header: &[u8]) -> Option<(Self, usize)> {
        let end = memchr(b'\n', &header[..header.len().min(MAX_HEADER)])?;
        Some((Self::of_line(&header[..end])?, end + 1))
    }

    /// The facts in a header without its line end.
    pub(crate) fn of_line(line: &[u8]) -> Option<Self> {
        let mut fields = Fields(line);
        fields.number()?;
        fields.text()?;
        let facts = Self {
            took: fields.number()?,
            ttl: fields.number()?,
            stale_window: fields.number()?,
            checksum: fields.hex()?,
            key_check: fields.text()?.try_into().ok()?,
            flag: Flag::parse(fields.text()?)?,
        };
        fields.text()?;
        fields.text()?;
        Some(facts)
    }

    pub(crate) fn header(&self, origin: &Origin) -> String {
        let Self {
            took,
            ttl,
            stale_window,
            checksum,
            key_check,
            flag,
        } = self;
        let key_check = std::str::from_utf8(key_check).unwrap_or_default();
        let flags = flag.as_str();
        format!(
            "{},{},{took},{ttl},{stale_window},{checksum:08x},{key_check},{flags},{}\n",
            origin.process,
            origin.host,
            origin.end()
        )
    }
}

/// Where the value of an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// The facts in the header; `None` if it does not parse.
    pub facts: Option<Facts>,
    /// Where the payload begins. The header is between it and the head.
    start: usize,
}

impl Layout {
    /// The layout of an entry that begins with the head of a value. A damaged header has no facts.
    pub(crate) fn of(entry: &[u8]) -> Self {
        let (facts, length) = Facts::parse(&entry[Head::LENGTH..]).unzip();
        Self {
            facts,
            start: Head::LENGTH + length.unwrap_or(0),
        }
    }
}

/// A stored value that was read from a store, without a copy of its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// The grant that published the value.
    pub id: Id,
    layout: Layout,
    /// The whole entry.
    bytes: Bytes,
}

impl Hit {
    pub(crate) fn new(id: Id, layout: Layout, bytes: Bytes) -> Self {
        Self { id, layout, bytes }
    }

    /// The value in the bytes of an entry. `None` if the entry is not a value.
    pub fn parse(bytes: Bytes) -> Option<Self> {
        let head = Head::parse(&bytes).filter(|head| head.kind == Kind::Value)?;
        Some(Self::new(head.id, Layout::of(&bytes), bytes))
    }

    /// The facts in the header; `None` if it does not parse.
    pub fn facts(&self) -> Option<Facts> {
        self.layout.facts
    }

    /// What the writer of the entry has validated.
    pub(crate) fn check(&self) -> Option<Check> {
        check(self.bytes[..self.layout.start].trim_ascii_end())
    }

    /// The header; empty if it does not parse.
    pub fn header(&self) -> &[u8] {
        &self.bytes[Head::LENGTH..self.layout.start]
    }

    /// The encoded value, and the signature behind it if the pool has a secret.
    pub fn payload(&self) -> &[u8] {
        &self.bytes[self.layout.start..]
    }

    /// The payload, without a copy.
    pub(crate) fn into_payload(mut self) -> Bytes {
        self.bytes.advance(self.layout.start);
        self.bytes
    }

    /// Removes the signature behind the payload.
    pub(crate) fn truncate(&mut self, payload: usize) {
        self.bytes.truncate(self.layout.start + payload);
    }

    /// Whether the header parses, and the value belongs to the key with this check.
    pub fn is_of(&self, key_check: &KeyCheck) -> bool {
        self.layout
            .facts
            .is_some_and(|facts| facts.key_check == *key_check)
    }

    /// Whether the payload matches its checksum.
    pub fn is_intact(&self) -> bool {
        self.layout
            .facts
            .is_some_and(|facts| facts.checksum == crc32fast::hash(self.payload()))
    }

    /// The ttl of the publish, in milliseconds.
    pub fn ttl(&self) -> u64 {
        self.layout.facts.map_or(0, |facts| facts.ttl)
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

    /// 1 to 16 digits, without a sign.
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
        let text = self.text().filter(|text| text.len() == 8)?;
        text.iter()
            .try_fold(0, |sum, byte| Some(sum << 4 | char::from(*byte).to_digit(16)?))
    }
}

/// The text with a question mark for each control character and each other `forbidden` one, cut to at most `limit` bytes.
fn field(text: &str, limit: usize, forbidden: fn(char) -> bool) -> String {
    let mut line: String = text
        .chars()
        .map(|c| if c.is_control() || forbidden(c) { '?' } else { c })
        .collect();
    while line.len() > limit {
        line.pop();
    }
    line
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.process, self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Bytes {
        let facts = Facts {
            took: 10,
            ttl: 20,
            stale_window: 0,
            checksum: crc32fast::hash(b"pay\nload"),
            key_check: *b"0123456789_",
            flag: Flag::Value,
        };
        let origin = Origin::new(1, "h", "f<A, B>");
        let header = facts.header(&origin);
        format!("VAbc-_0123456789x0000001795416240{header}pay\nload").into()
    }

    #[test]
    fn a_printed_value_is_parsed() {
        let hit = Hit::parse(entry()).expect("a value");
        assert!(hit.is_intact() && hit.is_of(b"0123456789_") && !hit.is_of(b"0123456789-"));
        assert_eq!((hit.payload(), hit.ttl()), (&b"pay\nload"[..], 20));
        let origin = Origin::parse(Kind::Value, hit.header().trim_ascii_end()).expect("an origin");
        assert_eq!(origin, Origin::new(1, "h", "f<A, B>"));
    }

    #[test]
    fn a_value_that_is_cut_is_not_intact() {
        let bytes = entry();
        for end in 0..bytes.len() {
            let hit = Hit::parse(bytes.slice(..end));
            assert_eq!(hit.is_some(), end >= Head::LENGTH, "cut at {end}");
            assert!(hit.is_none_or(|hit| !hit.is_intact()), "cut at {end}");
        }
    }

    #[test]
    fn a_header_fits_into_its_bound() {
        let origin = Origin::new(
            u32::MAX,
            &"h,\n".repeat(30),
            &format!("a\nb\0{}", "é".repeat(200)),
        )
        .with_label(&"a,b\n".repeat(40));
        assert!(origin.label.starts_with("a?b?") && origin.label.len() == 64);
        let origin = Origin {
            check: Some([b'x'; 22]),
            ..origin
        };
        assert!(origin.site.starts_with("a?b?é") && origin.site.len() == 256);
        assert!(origin.host.starts_with("h??h??") && origin.host.len() == 64);
        let century = 3_155_760_000_000;
        let facts = Facts {
            took: century,
            ttl: century,
            stale_window: century,
            checksum: u32::MAX,
            key_check: *b"0123456789_",
            flag: Flag::Error,
        };
        let header = facts.header(&origin);
        assert!(header.len() <= MAX_HEADER);
        let blocked = origin.blocked();
        for (kind, header) in [(Kind::Value, &header), (Kind::Blocked, &blocked)] {
            assert_eq!(
                Origin::parse(kind, header.trim_end().as_bytes()).as_ref(),
                Some(&origin)
            );
        }
    }
}
