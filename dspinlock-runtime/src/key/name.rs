//! A key and its names in the store. `KeyHasher` and `HashDSpinlock` create it.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use sha2::{Digest, Sha256};

/// The longest custom key, in bytes.
const MAX_CUSTOM: usize = 512;

/// The name of one lock.
///
/// The same arguments of the same site give equal keys on every host, build and architecture.
/// `Display` shows the prefix and the digest, never an argument.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Repr);

#[derive(Clone, PartialEq, Eq)]
enum Repr {
    Digest {
        prefix: Cow<'static, str>,
        digest: [u8; 32],
    },
    Custom(Arc<str>),
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
    /// `<prefix>,<digest in hex>`.
    pub fn new(prefix: Cow<'static, str>, digest: [u8; 32]) -> Self {
        Self(Repr::Digest { prefix, digest })
    }

    /// A key of a custom key scheme. The text is the name in the store.
    ///
    /// # Errors
    ///
    /// [`KeyError::Custom`] if the text is empty, has more than 512 bytes, or has braces or control characters. Braces
    /// would put the two entries of the key into different cluster slots.
    pub fn custom(text: &str) -> Result<Self, KeyError> {
        let reserved = |c: char| matches!(c, '{' | '}') || c.is_control();
        if text.is_empty() || text.len() > MAX_CUSTOM || text.contains(reserved) {
            return Err(KeyError::Custom);
        }
        Ok(Self(Repr::Custom(text.into())))
    }

    /// The key whose state or value has this name in the store. `None` if the name does not contain a digest.
    pub fn from_name(name: &str) -> Option<Self> {
        let name = match name.strip_prefix('{') {
            Some(name) => name.strip_suffix("},value")?,
            None => name,
        };
        let (prefix, hex) = name.rsplit_once(',')?;
        let mut digest = [0; 32];
        if hex.len() != 64 || !hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        for (at, byte) in digest.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).ok()?;
        }
        Some(Self::new(Cow::Owned(prefix.to_owned()), digest))
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
            Repr::Digest { digest, .. } => Self::new(prefix, *digest),
            Repr::Custom(_) => self.clone(),
        }
    }

    /// The store's name of the state, the same as in py-dspinlock.
    pub fn state_name(&self) -> String {
        match &self.0 {
            Repr::Digest { prefix, digest } => name("", prefix, digest, ""),
            Repr::Custom(text) => text.as_ref().into(),
        }
    }

    /// The store's name of the value and the fence, in the same cluster slot as the state.
    pub fn value_name(&self) -> String {
        match &self.0 {
            Repr::Digest { prefix, digest } => name("{", prefix, digest, "},value"),
            Repr::Custom(text) => format!("{{{text}}},value"),
        }
    }
}

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
            Repr::Digest { prefix, digest } => write!(f, "{prefix},{}", Hex(digest)),
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

/// The name of a digest in the store, in one allocation, because every request needs one.
fn name(before: &str, prefix: &str, digest: &[u8; 32], after: &str) -> String {
    let mut name = String::with_capacity(before.len() + prefix.len() + 65 + after.len());
    name.extend([before, prefix, ","]);
    Hex(digest).with(|digits| name.push_str(digits));
    name.push_str(after);
    name
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
