//! A pool's secret: names that nobody can guess, and values that nobody else can have written.
//!
//! A key's digest is hashed once more, with the secret (HMAC-SHA-256). Behind each payload stands a seal: the HMAC of the
//! key's name, the tag and the fence it was published under, and the payload. What has no valid seal counts as absent.

use std::fmt;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::error::Error;
use crate::key::Key;
use crate::options::Options;
use crate::protocol::value::Hit;

/// How many bytes a seal adds to a payload.
pub(crate) const SEAL: usize = 32;

/// A shorter secret could be found by trying.
const SHORTEST: usize = 16;

/// Each is a hash that has taken in its key already.
pub(crate) struct Secret {
    names: Hmac<Sha256>,
    seals: Hmac<Sha256>,
}

impl Secret {
    /// # Errors
    ///
    /// [`Error::Configuration`] for a short one.
    pub(crate) fn new(secret: &[u8]) -> Result<Self, Error> {
        if secret.len() < SHORTEST {
            return Err(Error::Configuration(format!(
                "a pool's secret has at least {SHORTEST} bytes"
            )));
        }
        // A key for each use: names are public, and none must be good as a seal.
        let derive = |usage: &[u8]| keyed(&keyed(secret).chain_update(usage).finalize().into_bytes());
        Ok(Self {
            names: derive(b"dspinlock names"),
            seals: derive(b"dspinlock seals"),
        })
    }

    /// The key that stands for `key` in the store. Keys of one name become one key, however they were made.
    pub(crate) fn rename(&self, key: &Key) -> Key {
        let digest = self.names.clone().chain_update(key.state_name()).finalize();
        Key::new(key.prefix_or(Options::DEFAULT.prefix), digest.into_bytes().into())
    }

    /// The payload with its seal behind it.
    pub(crate) fn seal(&self, key: &Key, tag: &str, fence: u64, payload: &[u8]) -> Bytes {
        let seal = self
            .over(key, tag.as_bytes(), fence, payload)
            .finalize()
            .into_bytes();
        [payload, &seal].concat().into()
    }

    /// Takes the seal off the payload; `false` where it is missing or does not hold.
    pub(crate) fn unseal(&self, key: &Key, hit: &mut Hit) -> bool {
        let Some(end) = hit.payload.len().checked_sub(SEAL) else {
            return false;
        };
        let (payload, seal) = hit.payload.split_at(end);
        let sealed = self.over(key, &hit.tag, hit.fence, payload);
        let holds = sealed.verify_slice(seal).is_ok();
        hit.payload.truncate(end);
        holds
    }

    /// No two lists of these run into the same bytes: a name ends with a digest, a tag has no comma, a fence has 8 bytes.
    fn over(&self, key: &Key, tag: &[u8], fence: u64, payload: &[u8]) -> Hmac<Sha256> {
        self.seals
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
    fn a_seal_holds_for_its_own_record_and_no_other() {
        let (one, other) = (secret("a secret of many bytes"), secret("another of many bytes"));
        let sealed = one.seal(&key(1), "tag", 7, b"payload");
        let open = |secret: &Secret, key: Key, tag, fence, payload: &Bytes| {
            let mut hit = hit(tag, fence, payload.clone());
            secret.unseal(&key, &mut hit).then_some(hit.payload)
        };
        assert_eq!(
            open(&one, key(1), "tag", 7, &sealed).as_deref(),
            Some(&b"payload"[..])
        );
        assert_eq!(open(&other, key(1), "tag", 7, &sealed), None, "another secret");
        assert_eq!(open(&one, key(2), "tag", 7, &sealed), None, "another key");
        assert_eq!(open(&one, key(1), "tog", 7, &sealed), None, "another tag");
        assert_eq!(open(&one, key(1), "tag", 8, &sealed), None, "another fence");
        for end in 0..sealed.len() {
            assert_eq!(
                open(&one, key(1), "tag", 7, &sealed.slice(..end)),
                None,
                "cut at {end}"
            );
            let mut forged = sealed.to_vec();
            forged[end] ^= 1;
            assert_eq!(
                open(&one, key(1), "tag", 7, &forged.into()),
                None,
                "forged at {end}"
            );
        }
    }

    #[test]
    fn a_seal_is_what_any_hmac_makes_of_it() {
        // By Python: k = hmac(b"0123456789abcdef", b"dspinlock names"); hmac(k, b"p,0101…")
        let renamed = secret("0123456789abcdef").rename(&key(1));
        assert_eq!(
            renamed.to_string(),
            "p,7dc25e50ae2356518424ee22239d29d97b74d4a217332d8f0cc334f1a1f54124"
        );
        let sealed = secret("0123456789abcdef").seal(&renamed, "tag", 7, b"payload");
        let hex: String = sealed[7..].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "6a188e439469b7ba334d500eb9eb5045e07788cd77e40c0d0d5494317cc15e4a"
        );
    }

    #[test]
    fn names_depend_on_the_secret_and_on_the_whole_name() {
        let (one, other) = (secret("a secret of many bytes"), secret("another of many bytes"));
        let renamed = one.rename(&key(1));
        assert_ne!(renamed, key(1));
        assert_ne!(renamed, other.rename(&key(1)));
        assert_ne!(renamed, one.rename(&key(2)));
        assert_ne!(renamed, one.rename(&Key::new("q".into(), [1; 32])));
        // The same lock by its text, as a key scheme of one's own gives it.
        assert_eq!(renamed, one.rename(&Key::custom(&key(1).state_name()).unwrap()));
        let own = one.rename(&Key::custom("reports,nightly").unwrap());
        assert!(own.state_name().starts_with("dspinlock,") && !own.state_name().contains("night"));
    }

    #[test]
    fn short_secrets_are_refused_and_none_is_shown() {
        assert!(matches!(
            Secret::new(b"fifteen bytes.."),
            Err(Error::Configuration(_))
        ));
        assert_eq!(format!("{:?}", secret("sixteen bytes...")), "Secret");
    }
}
