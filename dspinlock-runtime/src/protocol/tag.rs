//! The tag of a call and the head of an entry, which every step compares. `header`, `state` and `record` use them.

use std::fmt;

/// The greatest fence. Lua represents every integer up to it exactly.
pub const MAX_FENCE: u64 = (1 << 53) - 1;

/// The length of a tag, and of a fence with its leading zeros.
const FIELD: usize = 16;

/// The name of one call: 96 random bits as 16 base64url characters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag([u8; FIELD]);

impl Tag {
    /// `None` if the text is not 16 base64url characters.
    pub fn parse(text: &[u8]) -> Option<Self> {
        // `fold` instead of `all`: without an early return the compiler vectorizes it.
        let is_tag = text.iter().fold(true, |all, byte| {
            all & (byte.is_ascii_alphanumeric() | (*byte == b'-') | (*byte == b'_'))
        });
        text.try_into().ok().filter(|_| is_tag).map(Self)
    }

    /// The characters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tag({self})")
    }
}

/// One grant: the tag of its call, and its fence. Grants have no order, because tags are random; fences do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Id {
    /// The tag of the call.
    pub tag: Tag,
    /// The fence of the grant, at most [`MAX_FENCE`].
    pub fence: u64,
}

impl Id {
    /// The grant in 16 characters of a tag and 16 digits, with `separator` characters between.
    pub(crate) fn parse(text: &[u8], separator: &[u8]) -> Option<Self> {
        let (tag, rest) = text.split_at_checked(FIELD)?;
        let digits: &[u8; FIELD] = rest.strip_prefix(separator)?.try_into().ok()?;
        let fence = digits.iter().try_fold(0, |sum, byte| {
            let digit = byte.wrapping_sub(b'0');
            (digit <= 9).then_some(sum * 10 + u64::from(digit))
        });
        Some(Self {
            tag: Tag::parse(tag)?,
            fence: fence.filter(|fence| *fence <= MAX_FENCE)?,
        })
    }
}

/// The tag, and the fence with leading zeros.
impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:016}", self.tag, self.fence)
    }
}

/// What an entry of the single encoding is. The first byte of the entry says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `B`: the lock is held.
    Blocked,
    /// `V`: a stored value.
    Value,
    /// `M`: COMPUTED without a value.
    Mark,
}

impl Kind {
    /// The first byte of the entry.
    pub fn letter(self) -> char {
        match self {
            Self::Blocked => 'B',
            Self::Value => 'V',
            Self::Mark => 'M',
        }
    }
}

/// The first bytes of an entry of the single encoding: its kind, and the grant that wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// What the entry is.
    pub kind: Kind,
    /// The grant that wrote the entry.
    pub id: Id,
}

impl Head {
    /// The length in bytes.
    pub const LENGTH: usize = 1 + 2 * FIELD;

    /// Parses the first bytes of an entry. `None` if they are damaged.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (kind, id) = bytes.get(..Self::LENGTH)?.split_first()?;
        Some(Self {
            kind: match kind {
                b'B' => Kind::Blocked,
                b'V' => Kind::Value,
                b'M' => Kind::Mark,
                _ => return None,
            },
            id: Id::parse(id, b"")?,
        })
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.kind.letter(), self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_head_round_trips() {
        let text = "VAbc-_0123456789x0000001795416240";
        let head = Head::parse(text.as_bytes()).expect("a head");
        assert_eq!((head.kind, head.id.fence), (Kind::Value, 1_795_416_240));
        assert_eq!(head.to_string(), text);
    }

    #[test]
    fn a_damaged_head_is_none() {
        for text in [
            "",
            "BAbc-_0123456789x000000179541624",
            "XAbc-_0123456789x0000001795416240",
            "BAbc-_0123456789+0000001795416240",
            "BAbc-_0123456789x000000179541624x",
            "BAbc-_0123456789x9007199254740992",
        ] {
            assert_eq!(Head::parse(text.as_bytes()), None, "{text}");
        }
    }
}
