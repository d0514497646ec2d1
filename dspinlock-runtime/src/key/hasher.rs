//! The hasher of keys, and the trait of the values that it hashes. The shim and `HashDSpinlock` call it.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::canonical::{self, Sink};
use super::name::{Format, Key, KeyError};
use super::raw::Raw;

/// A part of a key: every type that is [`serde::Serialize`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be part of the key",
    label = "this does not implement `serde::Serialize`",
    note = "derive `serde::Serialize` for it, leave it out with `skip(...)`, or set `key = ...`"
)]
pub trait KeyPart {
    /// Feeds this part into the hasher.
    fn feed(&self, hasher: &mut KeyHasher);
}

#[diagnostic::do_not_recommend]
impl<T: Serialize + ?Sized> KeyPart for T {
    fn feed(&self, hasher: &mut KeyHasher) {
        let is_first = hasher.parts == 0;
        let mut sink = PartSink {
            hash: &mut hasher.hash,
            raw: (hasher.shared && is_first).then(Raw::default),
        };
        hasher.failed |= canonical::write(self, &mut sink).is_err();
        hasher.raw = sink.raw.and_then(Raw::digest);
        hasher.parts += 1;
    }
}

/// Receives the canonical bytes of one part. All parts of all keys share this type, so that a user's `Serialize`
/// implementation is compiled once.
struct PartSink<'a> {
    hash: &'a mut Sha256,
    /// `Some` for the first part of a shared key.
    raw: Option<Raw>,
}

impl Sink for PartSink<'_> {
    fn write(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        if let Some(raw) = &mut self.raw {
            raw.write(bytes);
        }
    }

    fn tuple_struct(&mut self) {
        if let Some(raw) = &mut self.raw {
            raw.tuple_struct();
        }
    }
}

/// Hashes the parts of a key.
#[derive(Clone, Default)]
pub struct KeyHasher {
    hash: Sha256,
    shared: bool,
    parts: usize,
    /// The digest that py-dspinlock computes. `None` unless the only part is a text or byte string of a shared key.
    raw: Option<[u8; 32]>,
    failed: bool,
}

impl KeyHasher {
    /// A hasher without parts. A `shared` key (`name = ""`) leaves the site's name out, as py-dspinlock does.
    #[inline]
    pub fn new(shared: bool) -> Self {
        Self {
            shared,
            ..Self::default()
        }
    }

    /// The key of the parts and, unless it is shared, of the site's name.
    ///
    /// # Errors
    ///
    /// [`KeyError::Serialize`] if the `Serialize` implementation of a part failed.
    pub fn finish(mut self, prefix: Cow<'static, str>, site_name: &str) -> Result<Key, KeyError> {
        let format = if self.shared {
            Format::Shared
        } else {
            Format::Single
        };
        let digest = self.digest(|hash| hash.update(site_name));
        digest
            .map(|digest| Key::new(format, prefix, digest))
            .ok_or(KeyError::Serialize)
    }

    /// The digest alone, for a caller that has the site's name in pieces. `None` if the `Serialize` implementation of a
    /// part failed. Takes a reference, because moving the hasher costs more than the call.
    ///
    /// The parts come before the name, because the name is not known before the body. Each part and the list of parts end
    /// unambiguously, so different parts and names never have the same bytes.
    pub(crate) fn digest(&mut self, site_name: impl FnOnce(&mut Sha256)) -> Option<[u8; 32]> {
        if self.failed {
            return None;
        }
        if self.raw.is_some() {
            return self.raw;
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
