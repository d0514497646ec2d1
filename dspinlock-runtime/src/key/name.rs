//! A key and its names in the store. `KeyHasher` and `HashDSpinlock` create it.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::base64;

/// The longest custom key, in bytes.
const MAX_CUSTOM: usize = 512;

/// How many bytes of the digest are in the name of a key that only this crate knows.
const NAMED: usize = 24;

/// The name of one lock.
///
/// The same arguments of the same site give equal keys on every host, build and architecture. Equal keys have the same name in
/// the store. `Display` shows that name, never an argument.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Repr);

#[derive(Clone)]
enum Repr {
    Digest {
        format: Format,
        prefix: Cow<'static, str>,
        digest: [u8; 32],
        /// The key of a function without `name`, which no namespace has yet.
        is_unnamed: bool,
    },
    Custom(Arc<str>),
}

/// How the entry of a key is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// As py-dspinlock encodes it, because Python may know the key.
    Shared,
    /// As one entry with lock and value, because only this crate knows the key.
    Single,
}

/// Why a key cannot be created. The value is not quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The `Serialize` implementation of a part failed.
    #[error("the `Serialize` implementation of a part returned an error")]
    Serialize,
    /// The text of a custom key is empty, too long, or has a character that is not allowed.
    #[error("a custom key must have 1 to 512 bytes, and no braces or control characters")]
    Custom,
}

impl Key {
    /// The key of a digest.
    #[inline]
    pub fn new(format: Format, prefix: Cow<'static, str>, digest: [u8; 32]) -> Self {
        Self(Repr::Digest {
            format,
            prefix,
            digest,
            is_unnamed: false,
        })
    }

    /// The same key of a function without `name`: a pool may have a namespace for it.
    #[inline]
    pub(crate) fn unnamed(mut self) -> Self {
        if let Repr::Digest { is_unnamed, .. } = &mut self.0 {
            *is_unnamed = true;
        }
        self
    }

    /// The key in a namespace, which is given by its digest. The key of a function with a `name`, or of a lock, does not
    /// change. Exclusive or costs a hit nothing, and two digests of different inputs stay as different as they are.
    #[inline]
    pub(crate) fn in_namespace(mut self, namespace: &[u8; 32]) -> Self {
        if let Repr::Digest {
            digest, is_unnamed, ..
        } = &mut self.0
            && std::mem::take(is_unnamed)
        {
            digest
                .iter_mut()
                .zip(namespace)
                .for_each(|(byte, with)| *byte ^= with);
        }
        self
    }

    /// A key of a custom key scheme. The text is the name in the store.
    ///
    /// # Errors
    ///
    /// [`KeyError::Custom`] if the text is empty, has more than 512 bytes, or has braces or control characters. Braces
    /// would put two keys with one text between braces into one cluster slot.
    pub fn custom(text: &str) -> Result<Self, KeyError> {
        let reserved = |c: char| matches!(c, '{' | '}') || c.is_control();
        if text.is_empty() || text.len() > MAX_CUSTOM || text.contains(reserved) {
            return Err(KeyError::Custom);
        }
        Ok(Self(Repr::Custom(text.into())))
    }

    /// The key with this name in the store. `None` if the name does not contain a digest.
    pub fn from_name(name: &str) -> Option<Self> {
        let (prefix, text) = name.rsplit_once(',')?;
        let mut digest = [0; 32];
        let format = match text.strip_prefix(LETTER) {
            Some(text) if text.len() == 32 => {
                base64::decode(text.as_bytes(), &mut digest[..NAMED])?;
                Format::Single
            }
            _ if text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) => {
                for (at, byte) in digest.iter_mut().enumerate() {
                    *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
                }
                Format::Shared
            }
            _ => return None,
        };
        Some(Self::new(format, Cow::Owned(prefix.to_owned()), digest))
    }

    /// How the entry of this key is encoded. Python may know every custom key.
    pub fn format(&self) -> Format {
        match &self.0 {
            Repr::Digest { format, .. } => *format,
            Repr::Custom(_) => Format::Shared,
        }
    }

    /// Whether Python may know the key.
    pub(crate) fn is_shared(&self) -> bool {
        self.format() == Format::Shared
    }

    /// The end of the digest, which the name of a key of the single format does not contain.
    pub(crate) fn check(&self) -> [u8; 11] {
        let mut check = [b'A'; 11];
        if let Repr::Digest { digest, .. } = &self.0 {
            base64::encode(&digest[NAMED..], &mut check);
        }
        check
    }

    /// The text of a custom key, `None` for every other key.
    pub fn custom_text(&self) -> Option<&str> {
        match &self.0 {
            Repr::Custom(text) => Some(text),
            Repr::Digest { .. } => None,
        }
    }

    /// The first part of the name in the store. If the text of a custom key has no prefix and digest, this is `default`.
    pub(crate) fn prefix_or(&self, default: Cow<'static, str>) -> Cow<'static, str> {
        match &self.0 {
            Repr::Digest { prefix, .. } => prefix.clone(),
            Repr::Custom(text) => match Self::from_name(text).map(|key| key.0) {
                Some(Repr::Digest { prefix, .. }) => prefix,
                _ => default,
            },
        }
    }

    /// The same digest under another prefix. A custom key has no prefix and does not change.
    pub(crate) fn with_prefix(&self, prefix: Cow<'static, str>) -> Self {
        match &self.0 {
            Repr::Digest { format, digest, .. } => Self::new(*format, prefix, *digest),
            Repr::Custom(_) => self.clone(),
        }
    }

    /// The name in the store. `<prefix>,<digest in hex>` for a shared key, as in py-dspinlock; otherwise
    /// `<prefix>,a<24 bytes of the digest in base64url>`, where `a` is the format.
    pub fn name(&self) -> String {
        self.with_name(str::to_owned)
    }

    /// The first 12 digits of the digest in the name, for traces. Empty for a custom name, which may contain anything.
    pub(crate) fn digits(&self) -> String {
        let Repr::Digest { format, .. } = &self.0 else {
            return String::new();
        };
        let letter = match format {
            Format::Shared => 0,
            Format::Single => LETTER.len_utf8(),
        };
        self.with_name(|name| {
            let digits = name.rsplit(',').next().unwrap_or_default();
            digits.get(letter..letter + 12).unwrap_or_default().to_owned()
        })
    }

    /// Passes the [`name`](Self::name) to `f`. Every hit needs it, so it is on the stack, unless the prefix is very long.
    pub(crate) fn with_name<T>(&self, f: impl FnOnce(&str) -> T) -> T {
        let (format, prefix, digest) = match &self.0 {
            Repr::Custom(text) => return f(text),
            Repr::Digest {
                format,
                prefix,
                digest,
                ..
            } => (format, prefix, digest),
        };
        let mut text = [0; 32];
        let write = |text: &str| {
            let pieces = [prefix, ",", text];
            let length = pieces.iter().map(|piece| piece.len()).sum();
            let mut stack = [0; 160];
            let Some(name) = stack.get_mut(..length) else {
                return f(&pieces.concat());
            };
            let mut rest = &mut *name;
            for piece in pieces {
                let (place, behind) = rest.split_at_mut(piece.len());
                place.copy_from_slice(piece.as_bytes());
                rest = behind;
            }
            f(std::str::from_utf8(name).unwrap_or_default())
        };
        match format {
            Format::Shared => Hex(digest).with(write),
            Format::Single => {
                base64::encode(&digest[..NAMED], &mut text);
                let mut letter_and_text = [LETTER as u8; 33];
                letter_and_text[1..].copy_from_slice(&text);
                write(std::str::from_utf8(&letter_and_text).unwrap_or_default())
            }
        }
    }
}

/// The letter of the single format in names, so that a later format may live beside it.
const LETTER: char = 'a';

impl PartialEq for Repr {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Custom(one), Self::Custom(other)) => one == other,
            (
                Self::Digest {
                    format,
                    prefix,
                    digest,
                    ..
                },
                Self::Digest {
                    format: other_format,
                    prefix: other_prefix,
                    digest: other,
                    ..
                },
            ) => {
                let named = if *format == Format::Single { NAMED } else { 32 };
                digest[..named] == other[..named] && format == other_format && prefix == other_prefix
            }
            _ => false,
        }
    }
}

impl Eq for Repr {}

/// Eight bytes of the digest are enough: few keys share a digest under different prefixes.
impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match &self.0 {
            Repr::Digest { digest, .. } => {
                state.write_u64(
                    digest[..8]
                        .iter()
                        .fold(0, |all, byte| all << 8 | u64::from(*byte)),
                );
            }
            Repr::Custom(text) => text.hash(state),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Digest { .. } => f.write_str(&self.name()),
            // The text may contain an argument, so only its digest is shown.
            Repr::Custom(text) => write!(f, "custom key {}", Hex(&Sha256::digest(text.as_bytes())[..8])),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

/// At most 32 bytes, shown in hex.
struct Hex<'a>(&'a [u8]);

impl Hex<'_> {
    /// Passes the digits to `f`. Formatting each byte would be slower.
    fn with<T>(&self, f: impl FnOnce(&str) -> T) -> T {
        let mut text = [[0; 2]; 32];
        for (digits, byte) in text.iter_mut().zip(self.0) {
            *digits = DIGITS[usize::from(*byte)];
        }
        f(std::str::from_utf8(&text.as_flattened()[..2 * self.0.len()]).unwrap_or_default())
    }
}

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with(|digits| f.write_str(digits))
    }
}

/// The two hex digits of each byte.
const DIGITS: [[u8; 2]; 256] = {
    let digit = b"0123456789abcdef";
    let mut all = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        all[byte] = [digit[byte >> 4], digit[byte & 15]];
        byte += 1;
    }
    all
};
