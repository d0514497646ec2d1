//! The hasher of keys, and the trait of the values that it hashes. The shim and `HashDSpinlock` call it.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::canonical::{self, Sink};
use super::name::{Format, Key, KeyError};
use super::recent::{self, KeyDigest, MAX_BYTES, Owner};
use super::shared::Shared;

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
        let mut sink = PartSink {
            bytes: &mut hasher.bytes,
            shared: hasher.shared.as_mut(),
        };
        hasher.failed |= canonical::write(self, &mut sink).is_err();
        hasher.parts += 1;
    }
}

/// Receives the canonical bytes of one part. All parts of all keys share this type, so that a user's `Serialize`
/// implementation is compiled once.
struct PartSink<'a> {
    bytes: &'a mut Bytes,
    /// `Some` for a part of a shared key, which has its own bytes.
    shared: Option<&'a mut Shared>,
}

impl Sink for PartSink<'_> {
    fn write(&mut self, bytes: &[u8]) {
        match &mut self.shared {
            None => self.bytes.write(bytes),
            Some(shared) => shared.write(bytes),
        }
    }

    fn tuple_struct(&mut self) {
        if let Some(shared) = &mut self.shared {
            shared.tuple_struct();
        }
    }
}

/// Canonical bytes: on the stack as long as they fit, so that a digest that the thread remembers needs no hash.
#[derive(Clone)]
struct Bytes {
    stack: [u8; MAX_BYTES],
    length: usize,
    /// The hash of all bytes, if they did not fit.
    hash: Option<Sha256>,
}

impl Default for Bytes {
    fn default() -> Self {
        Self {
            stack: [0; MAX_BYTES],
            length: 0,
            hash: None,
        }
    }
}

impl Bytes {
    fn stack(&self) -> &[u8] {
        &self.stack[..self.length]
    }

    /// The hash of all bytes.
    fn hash(&mut self) -> &mut Sha256 {
        let bytes = &self.stack[..self.length];
        self.hash.get_or_insert_with(|| Sha256::new_with_prefix(bytes))
    }
}

impl Sink for Bytes {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let end = self.length + bytes.len();
        match self.stack.get_mut(self.length..end) {
            Some(place) if self.hash.is_none() => {
                place.copy_from_slice(bytes);
                self.length = end;
            }
            _ => self.hash().update(bytes),
        }
    }
}

/// Hashes the parts of a key.
#[derive(Clone, Default)]
pub struct KeyHasher {
    bytes: Bytes,
    shared: Option<Shared>,
    parts: usize,
    failed: bool,
}

impl KeyHasher {
    /// A hasher without parts. A `shared` key (`name = ""`) leaves the site's name out, as py-dspinlock does.
    #[inline]
    pub fn new(shared: bool) -> Self {
        Self {
            shared: shared.then(Shared::default),
            ..Self::default()
        }
    }

    /// The key of the parts and, unless it is shared, of the site's name.
    ///
    /// # Errors
    ///
    /// [`KeyError::Serialize`] if the `Serialize` implementation of a part failed.
    pub fn finish(mut self, prefix: Cow<'static, str>, site_name: &str) -> Result<Key, KeyError> {
        let format = match self.shared {
            Some(_) => Format::Shared,
            None => Format::Single,
        };
        let digest = self.digest(None, |hash| {
            hash.update(site_name);
            Some(())
        });
        digest
            .map(|KeyDigest(digest)| Key::new(format, prefix, digest))
            .ok_or(KeyError::Serialize)
    }

    /// The digest alone, for a caller that has the site's name in pieces. `None` if the `Serialize` implementation of a
    /// part failed, or if `site_name` has no name. Takes a reference, because moving the hasher costs more than the call.
    ///
    /// The parts come before the name, because the name is not known before the body. Each part and the list of parts end
    /// unambiguously, so different parts and names never have the same bytes.
    ///
    /// With an `owner` of this name, the digest is remembered.
    pub(crate) fn digest(
        &mut self,
        owner: Option<Owner>,
        site_name: impl FnOnce(&mut Sha256) -> Option<()>,
    ) -> Option<KeyDigest> {
        if self.failed {
            return None;
        }
        if let Some(shared) = &self.shared {
            return Some(KeyDigest(shared.digest(self.parts)));
        }
        canonical::end(&mut self.bytes);
        let owner = owner.filter(|_| self.bytes.hash.is_none());
        let known = owner.and_then(|owner| recent::get(owner, self.bytes.stack()));
        match known {
            Some(digest) => Some(digest),
            None => self.compute(owner, site_name),
        }
    }

    /// Not inlined, because its stack is large and a near hit does not need it.
    #[inline(never)]
    fn compute(
        &mut self,
        owner: Option<Owner>,
        site_name: impl FnOnce(&mut Sha256) -> Option<()>,
    ) -> Option<KeyDigest> {
        let hash = self.bytes.hash();
        site_name(hash)?;
        let mut digest = KeyDigest([0; 32]);
        Digest::finalize_into_reset(hash, (&mut digest.0).into());
        if let Some(owner) = owner {
            recent::insert(owner, self.bytes.stack(), digest);
        }
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
