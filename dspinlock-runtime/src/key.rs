//! From arguments to a key: canonical bytes, SHA-256, names in the store. No I/O.

mod canonical;
mod plain;

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::options::Options;

/// The name of one lock.
///
/// Two keys are equal on every host, build and architecture when the same arguments were given to the same site.
/// `Display` shows the prefix and the digest, never an argument.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Repr);

#[derive(Clone, PartialEq, Eq)]
enum Repr {
    Digest {
        prefix: Cow<'static, str>,
        digest: [u8; 32],
    },
    Own(Arc<str>),
}

impl Key {
    /// `<prefix>,<hex of the digest>`.
    pub fn new(prefix: Cow<'static, str>, digest: [u8; 32]) -> Self {
        Self(Repr::Digest { prefix, digest })
    }

    /// A key of the user's own scheme, used in the store as it is.
    ///
    /// # Errors
    ///
    /// [`Error::Configuration`] for an empty key, one of more than 512 bytes, and one with braces or control
    /// characters, which would tear its two entries apart on a cluster.
    pub fn own(text: &str) -> Result<Self, Error> {
        if text.is_empty()
            || text.len() > 512
            || text.contains(|c: char| c == '{' || c == '}' || c.is_control())
        {
            return Err(Error::Configuration(
                "a key of one's own has 1 to 512 bytes without braces and control characters".into(),
            ));
        }
        Ok(Self(Repr::Own(text.into())))
    }

    /// The key whose state or value has this name in the store. `None` for all that is no digest.
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

    /// Its own text, where it is a key of the user's own scheme.
    pub fn own_text(&self) -> Option<&str> {
        match &self.0 {
            Repr::Own(text) => Some(text),
            Repr::Digest { .. } => None,
        }
    }

    /// The first part of its name in the store; of a key of the user's own scheme the default, unless it is a digest's name.
    pub(crate) fn prefix(&self) -> Cow<'static, str> {
        match &self.0 {
            Repr::Digest { prefix, .. } => prefix.clone(),
            Repr::Own(text) => match Self::from_name(text).map(|key| key.0) {
                Some(Repr::Digest { prefix, .. }) => prefix,
                _ => Options::DEFAULT.prefix,
            },
        }
    }

    /// The same digest under another prefix. A key of one's own has none.
    pub(crate) fn with_prefix(&self, prefix: Cow<'static, str>) -> Self {
        match &self.0 {
            Repr::Digest { digest, .. } => Self::new(prefix, *digest),
            Repr::Own(_) => self.clone(),
        }
    }

    /// The store's name for the state, which py-dspinlock uses too.
    pub fn state_name(&self) -> String {
        match &self.0 {
            Repr::Digest { prefix, digest } => name("", prefix, digest, ""),
            Repr::Own(text) => text.as_ref().into(),
        }
    }

    /// The store's name for the value and the fence, in the same cluster slot as the state.
    pub fn value_name(&self) -> String {
        match &self.0 {
            Repr::Digest { prefix, digest } => name("{", prefix, digest, "},value"),
            Repr::Own(text) => format!("{{{text}}},value"),
        }
    }
}

/// A part of a digest is hash enough; keys of one digest under several prefixes are rare.
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
            Repr::Own(text) => text.hash(state),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Digest { prefix, digest } => write!(f, "{prefix},{}", Hex(digest)),
            // A user may have put an argument into it: only its digest is shown.
            Repr::Own(text) => write!(f, "own key {}", Hex(&Sha256::digest(text.as_bytes())[..8])),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

/// Every name of every request comes from here: one allocation.
fn name(before: &str, prefix: &str, digest: &[u8; 32], after: &str) -> String {
    let mut name = String::with_capacity(before.len() + prefix.len() + 65 + after.len());
    name.extend([before, prefix, ","]);
    Hex(digest).with(|digits| name.push_str(digits));
    name.push_str(after);
    name
}

/// At most 32 bytes.
struct Hex<'a>(&'a [u8]);

impl Hex<'_> {
    /// No formatting machinery for each byte.
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

/// The two digits of each byte.
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

/// What can be a part of a key: everything that is `serde::Serialize`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be part of a lock key",
    label = "this is not `serde::Serialize`",
    note = "derive `serde::Serialize` for it, choose another key with `key = ...`, or leave the argument out with `skip(...)`"
)]
pub trait KeyPart {
    /// Feeds the canonical bytes of this part to the hasher.
    fn feed(&self, hasher: &mut KeyHasher);
}

#[diagnostic::do_not_recommend]
impl<T: Serialize + ?Sized> KeyPart for T {
    fn feed(&self, hasher: &mut KeyHasher) {
        if hasher.shared && hasher.parts == 0 {
            hasher.raw = plain::digest(self);
        }
        hasher.parts += 1;
        hasher.failed |= canonical::feed(self, &mut hasher.hash).is_err();
    }
}

/// Collects the parts of a key.
#[derive(Clone, Default)]
pub struct KeyHasher {
    hash: Sha256,
    shared: bool,
    parts: usize,
    /// The digest that py-dspinlock makes of a single text or byte string.
    raw: Option<[u8; 32]>,
    failed: bool,
}

impl KeyHasher {
    /// Nothing fed yet. `shared` is `name = ""`: the object alone, hashed as py-dspinlock does.
    #[inline]
    pub fn new(shared: bool) -> Self {
        Self {
            shared,
            ..Self::default()
        }
    }

    /// The digest over the parts and, unless the key is shared, the site's name.
    ///
    /// The parts come first, because the name of a site is known only together with its body; every part and the
    /// list of parts tell their own end, so that no two lists of parts and names run into the same bytes.
    ///
    /// # Errors
    ///
    /// [`Error::ProvidedObjectIsNotHashable`] where a part's `Serialize` failed.
    pub fn finish(mut self, prefix: Cow<'static, str>, site_name: &str) -> Result<Key, Error> {
        match self.digest(|hash| hash.update(site_name)) {
            Some(digest) => Ok(Key::new(prefix, digest)),
            None => Err(Error::ProvidedObjectIsNotHashable {
                site: site_name.into(),
            }),
        }
    }

    /// The digest alone, where the site's name comes in pieces. `None` where a part's `Serialize` failed. By reference, as
    /// a hash that was just written to is costly to move.
    pub(crate) fn digest(&mut self, site_name: impl FnOnce(&mut Sha256)) -> Option<[u8; 32]> {
        if self.failed {
            return None;
        }
        if let (Some(raw), 1) = (self.raw, self.parts) {
            return Some(raw);
        }
        canonical::end(&mut self.hash);
        if !self.shared {
            site_name(&mut self.hash);
        }
        let mut digest = [0; 32];
        Digest::finalize_into_reset(&mut self.hash, (&mut digest).into());
        Some(digest)
    }
}

impl fmt::Debug for KeyHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyHasher")
            .field("parts", &self.parts)
            .finish_non_exhaustive()
    }
}
