//! A pool's secret: key names that cannot be guessed, and values that cannot be forged.
//!
//! The name of a key is hashed again with the secret (HMAC-SHA-256). Each payload is followed by a signature: the HMAC of
//! the key's name, the tag and fence of its publish, and the payload. A value without a valid signature counts as absent.
//! `pool` calls this module. Values are signed, not encrypted, and the secret is never printed.

use std::fmt;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::error::Error;
use crate::key::Key;
use crate::options::Options;
use crate::protocol::value::Hit;

/// The size of a signature in bytes.
pub(super) const SIGNATURE_SIZE: usize = 32;

/// The shortest secret in bytes. A shorter one could be found by brute force.
const MIN_LENGTH: usize = 16;

/// The keyed HMACs. Each use clones one.
#[derive(Clone)]
pub(super) struct Secret {
    names: Hmac<Sha256>,
    signatures: Hmac<Sha256>,
}

impl Secret {
    /// # Errors
    ///
    /// [`Error::InvalidOption`] for a secret that is too short.
    pub(super) fn new(secret: &[u8]) -> Result<Self, Error> {
        if secret.len() < MIN_LENGTH {
            return Err(Error::option(format!(
                "the pool's `secret` must have at least {MIN_LENGTH} bytes; use 32 random ones"
            )));
        }
        // One derived key per use: names are public, and a name must not be valid as a signature.
        let derive = |usage: &[u8]| keyed(&keyed(secret).chain_update(usage).finalize().into_bytes());
        Ok(Self {
            names: derive(b"dspinlock names"),
            signatures: derive(b"dspinlock seals"),
        })
    }

    /// The key's name in the store. Two keys of the same name are renamed to the same key.
    pub(super) fn rename(&self, key: &Key) -> Key {
        let digest = self.names.clone().chain_update(key.state_name()).finalize();
        Key::new(key.prefix_or(Options::DEFAULT.prefix), digest.into_bytes().into())
    }

    /// The payload followed by its signature.
    pub(super) fn sign(&self, key: &Key, tag: &str, fence: u64, payload: &[u8]) -> Bytes {
        let signature = self
            .mac(key, tag.as_bytes(), fence, payload)
            .finalize()
            .into_bytes();
        [payload, &signature].concat().into()
    }

    /// Removes the signature from the payload. `false` if it is missing or invalid.
    pub(super) fn verify(&self, key: &Key, hit: &mut Hit) -> bool {
        let Some(end) = hit.payload.len().checked_sub(SIGNATURE_SIZE) else {
            return false;
        };
        let (payload, signature) = hit.payload.split_at(end);
        let mac = self.mac(key, &hit.tag, hit.fence, payload);
        let is_valid = mac.verify_slice(signature).is_ok();
        hit.payload.truncate(end);
        is_valid
    }

    /// Different inputs have different bytes: a name ends with a digest, a tag has no comma, and a fence has 8 bytes.
    fn mac(&self, key: &Key, tag: &[u8], fence: u64, payload: &[u8]) -> Hmac<Sha256> {
        self.signatures
            .clone()
            .chain_update(key.state_name())
            .chain_update(",")
            .chain_update(tag)
            .chain_update(",")
            .chain_update(fence.to_le_bytes())
            .chain_update(payload)
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length")
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.as_bytes()).unwrap()
    }

    fn key(byte: u8) -> Key {
        Key::new("p".into(), [byte; 32])
    }

    fn hit(tag: &'static str, fence: u64, payload: Bytes) -> Hit {
        Hit {
            payload,
            tag: tag.into(),
            fence,
            life: 0,
            checksum: 0,
        }
    }

    #[test]
    fn a_signature_is_valid_for_its_own_record_only() {
        let (one, other) = (secret("a secret of many bytes"), secret("another of many bytes"));
        let signed = one.sign(&key(1), "tag", 7, b"payload");
        let verified = |secret: &Secret, key: Key, tag, fence, payload: &Bytes| {
            let mut hit = hit(tag, fence, payload.clone());
            secret.verify(&key, &mut hit).then_some(hit.payload)
        };
        assert_eq!(
            verified(&one, key(1), "tag", 7, &signed).as_deref(),
            Some(&b"payload"[..])
        );
        assert_eq!(
            verified(&other, key(1), "tag", 7, &signed),
            None,
            "another secret"
        );
        assert_eq!(verified(&one, key(2), "tag", 7, &signed), None, "another key");
        assert_eq!(verified(&one, key(1), "tog", 7, &signed), None, "another tag");
        assert_eq!(verified(&one, key(1), "tag", 8, &signed), None, "another fence");
        for end in 0..signed.len() {
            assert_eq!(
                verified(&one, key(1), "tag", 7, &signed.slice(..end)),
                None,
                "cut at {end}"
            );
            let mut forged = signed.to_vec();
            forged[end] ^= 1;
            assert_eq!(
                verified(&one, key(1), "tag", 7, &forged.into()),
                None,
                "forged at {end}"
            );
        }
    }

    #[test]
    fn names_and_signatures_equal_an_independent_hmac() {
        // By Python: k = hmac(b"0123456789abcdef", b"dspinlock names"); hmac(k, b"p,0101…")
        let renamed = secret("0123456789abcdef").rename(&key(1));
        assert_eq!(
            renamed.to_string(),
            "p,7dc25e50ae2356518424ee22239d29d97b74d4a217332d8f0cc334f1a1f54124"
        );
        let signed = secret("0123456789abcdef").sign(&renamed, "tag", 7, b"payload");
        let hex: String = signed[7..].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "6a188e439469b7ba334d500eb9eb5045e07788cd77e40c0d0d5494317cc15e4a"
        );
    }

    #[test]
    fn a_name_depends_on_the_secret_and_on_the_whole_former_name() {
        let (one, other) = (secret("a secret of many bytes"), secret("another of many bytes"));
        let renamed = one.rename(&key(1));
        assert_ne!(renamed, key(1));
        assert_ne!(renamed, other.rename(&key(1)));
        assert_ne!(renamed, one.rename(&key(2)));
        assert_ne!(renamed, one.rename(&Key::new("q".into(), [1; 32])));
        // A custom key with the name of a digest is the same lock.
        assert_eq!(renamed, one.rename(&Key::custom(&key(1).state_name()).unwrap()));
        let custom = one.rename(&Key::custom("reports,nightly").unwrap());
        assert!(custom.state_name().starts_with("dspinlock,") && !custom.state_name().contains("night"));
    }

    #[test]
    fn a_short_secret_is_refused_and_no_secret_is_shown() {
        assert!(matches!(
            Secret::new(b"fifteen bytes.."),
            Err(Error::InvalidOption { .. })
        ));
        assert_eq!(format!("{:?}", secret("sixteen bytes...")), "Secret");
    }
}
