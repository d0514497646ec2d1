//! base64url without padding, for names and tags.

const CHARACTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Fills `text` with the characters of `bytes`: four for three bytes.
pub fn encode(bytes: &[u8], text: &mut [u8]) {
    for (group, characters) in bytes.chunks(3).zip(text.chunks_mut(4)) {
        let bits = group
            .iter()
            .zip([16, 8, 0])
            .fold(0_u32, |bits, (byte, shift)| bits | u32::from(*byte) << shift);
        for (character, shift) in characters.iter_mut().zip([18, 12, 6, 0]) {
            *character = CHARACTERS[(bits >> shift) as usize & 63];
        }
    }
}

/// The inverse of [`encode`] for a multiple of three bytes. `None` if `text` has other characters.
pub(super) fn decode(text: &[u8], bytes: &mut [u8]) -> Option<()> {
    for (characters, group) in text.chunks(4).zip(bytes.chunks_mut(3)) {
        let bits = characters.iter().try_fold(0_u32, |bits, character| {
            let value = match character {
                b'A'..=b'Z' => character - b'A',
                b'a'..=b'z' => character - b'a' + 26,
                b'0'..=b'9' => character - b'0' + 52,
                b'-' => 62,
                b'_' => 63,
                _ => return None,
            };
            Some(bits << 6 | u32::from(value))
        })?;
        group.copy_from_slice(&bits.to_be_bytes()[1..]);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_bytes_round_trip() {
        // By Python: base64.urlsafe_b64encode.
        let bytes: Vec<u8> = (0..24_u8)
            .map(|byte| byte.wrapping_mul(11).wrapping_add(250))
            .collect();
        let mut text = [0; 32];
        encode(&bytes, &mut text);
        let mut decoded = [0; 24];
        assert_eq!(decode(&text, &mut decoded), Some(()));
        assert_eq!(decoded.as_ref(), bytes);
        let mut check = [0; 11];
        encode(&[0, 255, 16, 131, 16, 81, 135, 251], &mut check);
        assert_eq!(&check, b"AP8QgxBRh_s");
        assert_eq!(decode(b"AAA=", &mut [0; 3]), None);
    }
}
