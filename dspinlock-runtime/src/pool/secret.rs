//! A pool's secret: key names that cannot be guessed, and values that cannot be forged.
//!
//! One secret names the keys, and never changes while processes run: processes that name a key differently do not exclude each
//! other. The secrets of signatures may be rotated. The name of a key is hashed again with its secret (HMAC-SHA-256). Each payload is followed by a signature: the HMAC of
//! the key's name, the tag of its publish, the header, and the payload. A value without a valid signature counts as absent.
//! `pool` calls this module. Values are signed, not encrypted, and no secret is ever printed.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::error::Error;
use crate::key::Key;
use crate::options::Options;
use crate::protocol::Publish;
use crate::protocol::encoding::single;
use crate::protocol::header::Hit;
use crate::protocol::tag::Tag;

/// The size of a signature in bytes.
pub(super) const SIGNATURE_SIZE: usize = 32;

/// The shortest secret in bytes. A shorter one could be found by brute force.
const MIN_LENGTH: usize = 16;

/// The keyed HMACs. Each use clones one.
#[derive(Clone)]
pub(super) struct Secret {
    names: Hmac<Sha256>,
    /// The first one signs. A value may have the signature of any.
    signatures: Vec<Hmac<Sha256>>,
}

impl Secret {
    /// `names` is the secret of names, and that of signatures if there are no `signatures`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidOption`] for a secret that is too short, and for an empty list.
    pub(super) fn new(names: &[u8], signatures: Option<&[Box<[u8]>]>) -> Result<Self, Error> {
        // One derived key per use: names are public, and a name must not be valid as a signature.
        let sign = |secret: &[u8]| derive(secret, b"dspinlock seals");
        let signatures = match signatures {
            Some([]) => return Err(Error::option("`secrets` must have at least one secret")),
            Some(secrets) => secrets
                .iter()
                .map(|secret| sign(secret))
                .collect::<Result<_, _>>()?,
            None => vec![sign(names)?],
        };
        Ok(Self {
            names: derive(names, b"dspinlock names")?,
            signatures,
        })
    }

    /// The key's name in the store. Two keys of the same name are renamed to the same key.
    pub(super) fn rename(&self, key: &Key) -> Key {
        let digest = self.names.clone().chain_update(key.name()).finalize();
        Key::new(
            key.format(),
            key.prefix_or(Options::DEFAULT.prefix),
            digest.into_bytes().into(),
        )
    }

    /// What a site validates, for the entry of this key.
    pub(super) fn check(&self, key: &Key, validated: &[u8; 32]) -> [u8; 32] {
        let mac = self
            .names
            .clone()
            .chain_update(key.name())
            .chain_update(",check,");
        mac.chain_update(validated).finalize().into_bytes().into()
    }

    /// Sets the signature of a publish that has a value.
    pub(super) fn sign(&self, key: &Key, publish: &mut Publish) {
        publish.signature = publish.payload.as_ref().map(|payload| {
            let header = single::header(key, publish);
            let mac = mac(
                &self.signatures[0],
                key,
                publish.id.tag,
                header.as_bytes(),
                payload,
            );
            mac.finalize().into_bytes().into()
        });
    }

    /// Removes the signature from the payload. `false` if it is missing or invalid.
    pub(super) fn verify(&self, key: &Key, hit: &mut Hit) -> bool {
        let Some(end) = hit.payload().len().checked_sub(SIGNATURE_SIZE) else {
            return false;
        };
        let (payload, signature) = hit.payload().split_at(end);
        let is_valid = self.signatures.iter().any(|secret| {
            let mac = mac(secret, key, hit.id.tag, hit.header(), payload);
            mac.verify_slice(signature).is_ok()
        });
        hit.truncate(end);
        is_valid
    }
}

/// The fence is not signed: a tag publishes once. Different inputs have different bytes, because the name ends with a
/// digest, kind and tag have a fixed length, and the header ends with the only line end before the payload.
fn mac(secret: &Hmac<Sha256>, key: &Key, tag: Tag, header: &[u8], payload: &[u8]) -> Hmac<Sha256> {
    secret
        .clone()
        .chain_update(key.name())
        .chain_update(",V")
        .chain_update(tag.as_str())
        .chain_update(header)
        .chain_update(payload)
}

/// The key of one use of a secret.
fn derive(secret: &[u8], usage: &[u8]) -> Result<Hmac<Sha256>, Error> {
    if secret.len() < MIN_LENGTH {
        return Err(Error::option(format!(
            "a secret of a pool must have at least {MIN_LENGTH} bytes; use 32 random ones"
        )));
    }
    Ok(keyed(&keyed(secret).chain_update(usage).finalize().into_bytes()))
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
    use bytes::Bytes;

    use super::*;
    use crate::key::Format;
    use crate::protocol::header::{Flag, Origin};
    use crate::protocol::tag::Id;

    fn secret(text: &str) -> Secret {
        Secret::new(text.as_bytes(), None).unwrap()
    }

    /// A secret of names, and secrets of signatures.
    fn secrets(names: &str, signatures: &[&str]) -> Result<Secret, Error> {
        let signatures: Vec<Box<[u8]>> = signatures.iter().map(|text| text.as_bytes().into()).collect();
        Secret::new(names.as_bytes(), Some(&signatures))
    }

    fn key(byte: u8) -> Key {
        Key::new(Format::Single, "p".into(), [byte; 32])
    }

    fn publish(tag: &[u8; 16], payload: &'static [u8]) -> Publish {
        let tag = Tag::parse(tag).unwrap();
        Publish {
            id: Id { tag, fence: 7 },
            ttl: 1000,
            took: 1,
            payload: Some(payload.into()),
            flag: Flag::Value,
            signature: None,
            origin: Origin::new(1, "host", "site"),
        }
    }

    /// The entry as another caller reads it.
    fn entry(secret: &Secret, key: &Key, mut publish: Publish) -> Bytes {
        secret.sign(key, &mut publish);
        single::computed(key, &publish)
    }

    fn verified(secret: &Secret, key: &Key, entry: &Bytes) -> Option<Bytes> {
        let mut hit = Hit::parse(entry.clone())?;
        secret.verify(key, &mut hit).then(|| hit.into_payload())
    }

    #[test]
    fn a_signature_is_valid_for_its_own_record_only() {
        let (one, other) = (secret("a secret of many bytes"), secret("another of many bytes"));
        let signed = entry(&one, &key(1), publish(b"tag-of-16-bytes_", b"payload"));
        assert_eq!(verified(&one, &key(1), &signed).as_deref(), Some(&b"payload"[..]));
        assert_eq!(verified(&other, &key(1), &signed), None, "another secret");
        assert_eq!(verified(&one, &key(2), &signed), None, "another key");
        for end in 0..signed.len() {
            assert_eq!(
                verified(&one, &key(1), &signed.slice(..end)),
                None,
                "cut at {end}"
            );
            let mut forged = signed.to_vec();
            forged[end] ^= 1;
            let is_fence = (17..33).contains(&end);
            let is_valid = verified(&one, &key(1), &forged.into()).is_some();
            assert!(is_fence || !is_valid, "forged at {end}");
        }
    }

    #[test]
    fn the_first_secret_signs_and_every_one_of_the_list_verifies() {
        let (a, b) = ("a secret of many bytes", "another of many bytes");
        let [only_a, both_a, both_b, only_b] =
            [&[a][..], &[a, b], &[b, a], &[b]].map(|list| secrets(a, list).unwrap());
        let accepts = |writer: &Secret, reader: &Secret| {
            let signed = entry(writer, &key(1), publish(b"tag-of-16-bytes_", b"payload"));
            verified(reader, &key(1), &signed).is_some()
        };
        for (writer, readers) in [
            (&only_a, [true, true, true, false]),
            (&both_a, [true, true, true, false]),
            (&both_b, [false, true, true, true]),
            (&only_b, [false, true, true, true]),
        ] {
            let all = [&only_a, &both_a, &both_b, &only_b];
            assert_eq!(all.map(|reader| accepts(writer, reader)), readers);
            assert_eq!(
                writer.rename(&key(1)),
                secret(a).rename(&key(1)),
                "the name remains"
            );
        }
        assert!(accepts(&secret(a), &only_a) && accepts(&only_a, &secret(a)));
    }

    #[test]
    fn names_and_signatures_equal_an_independent_hmac() {
        // By Python: k = hmac(b"0123456789abcdef", b"dspinlock names"); hmac(k, b"p,0101…")
        let renamed = secret("0123456789abcdef").rename(&Key::new(Format::Shared, "p".into(), [1; 32]));
        assert_eq!(
            renamed.to_string(),
            "p,7dc25e50ae2356518424ee22239d29d97b74d4a217332d8f0cc334f1a1f54124"
        );
        let signed = entry(
            &secret("0123456789abcdef"),
            &key(1),
            publish(b"tag-of-16-bytes_", b"payload"),
        );
        let signature = &signed[signed.len() - SIGNATURE_SIZE..];
        let hex: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "7bf37b8f30598280c01d34fbc2effcb08633e8a193b4f320efe011378dc83f2f"
        );
    }

    #[test]
    fn the_signed_fixtures_of_the_page_are_what_a_pool_with_a_secret_writes() {
        const PAGE: &str = include_str!("../../../docs/wire-format.md");
        let block = PAGE
            .split("```signed\n")
            .nth(1)
            .and_then(|rest| rest.split("```").next());
        let secret = secret("0123456789abcdef0123456789abcdef");
        let digest = std::array::from_fn(|at| at as u8);
        let renamed = |format| secret.rename(&Key::new(format, "dspinlock".into(), digest));
        let key = renamed(Format::Single);
        let publish = Publish {
            id: Id {
                tag: Tag::parse(b"AAECAwQFBgcICQoL").unwrap(),
                fence: 1_795_416_240_000_007,
            },
            ttl: 60_000,
            took: 250,
            payload: Some(Bytes::from_static(b"payload")),
            flag: Flag::Value,
            signature: None,
            origin: Origin::new(4711, "web-1", "shop::price<A, B>"),
        };
        let signed = entry(&secret, &key, publish);
        let (value, signature) = signed.split_at(signed.len() - SIGNATURE_SIZE);
        let hex: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
        let lines = [
            ("single name", key.name()),
            (
                "single value",
                String::from_utf8_lossy(value).replace('\n', "\\n") + "<signature>",
            ),
            ("signature", hex),
            ("shared name", renamed(Format::Shared).name()),
            (
                "custom name",
                secret.rename(&Key::custom("reports,nightly").unwrap()).name(),
            ),
        ];
        let written: String = lines
            .map(|(title, text)| format!("{title:<15}  {text}\n"))
            .concat();
        assert_eq!(Some(written.as_str()), block);
    }

    #[test]
    fn a_name_depends_on_the_secret_and_on_the_whole_former_name() {
        let (one, other) = (secret("a secret of many bytes"), secret("another of many bytes"));
        let renamed = one.rename(&key(1));
        assert_ne!(renamed, key(1));
        assert_ne!(renamed, other.rename(&key(1)));
        assert_ne!(renamed, one.rename(&key(2)));
        assert_ne!(
            renamed,
            one.rename(&Key::new(Format::Single, "q".into(), [1; 32]))
        );
        // A custom key with the name of a digest is the same lock.
        let shared = Key::new(Format::Shared, "p".into(), [1; 32]);
        assert_eq!(
            one.rename(&shared),
            one.rename(&Key::custom(&shared.name()).unwrap())
        );
        let custom = one.rename(&Key::custom("reports,nightly").unwrap());
        assert!(custom.name().starts_with("dspinlock,") && !custom.name().contains("night"));
    }

    #[test]
    fn a_short_secret_is_refused_and_no_secret_is_shown() {
        let (short, long) = ("fifteen bytes..", "sixteen bytes...");
        for (names, signatures) in [
            (short, &[long][..]),
            (long, &[short]),
            (long, &[long, short]),
            (long, &[]),
        ] {
            let refused = secrets(names, signatures);
            assert!(
                matches!(refused, Err(Error::InvalidOption { .. })),
                "{names} {signatures:?}"
            );
        }
        assert!(matches!(
            Secret::new(short.as_bytes(), None),
            Err(Error::InvalidOption { .. })
        ));
        assert_eq!(format!("{:?}", secret("sixteen bytes...")), "Secret");
    }
}
