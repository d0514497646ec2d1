//! Splits the bytes that a server sends to a reader into frames. It does no I/O; the readers add the bytes.
//!
//! A frame is accepted only if it can be the reply that is due, and its length is checked before memory is allocated. After
//! [`Malformed`] the reader must close its connection, because the border of the next frame is unknown.

use bytes::Bytes;

/// The size of the block that the readers read into.
const BLOCK: usize = 32 * 1024;
/// A longer payload that has not arrived completely is read into a separate buffer. All other payloads are copied out of
/// the block, so that a kept payload never keeps the block alive.
const MAX_COPIED: usize = 16 * 1024;
/// The longest error line.
const MAX_ERROR: usize = 4 * 1024;
/// The longest line that announces a payload: `$` and twelve digits.
const MAX_LENGTH_LINE: usize = 13;

/// The reply that a server owes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Due {
    /// A bulk string of at most `max` bytes, or a null.
    Bulk { max: usize },
    /// `+OK`.
    Ok,
}

/// A complete reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Frame {
    Bulk(Bytes),
    Null,
    Ok,
    /// An error reply. No reader needs its text.
    Error,
}

/// The bytes are not the reply that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The bytes that have arrived and belong to no complete frame.
pub(crate) struct Frames {
    block: Box<[u8]>,
    /// The filled part of `block`.
    start: usize,
    end: usize,
    large: Option<Large>,
}

/// A payload that is read into its own buffer, with its line end.
struct Large {
    bytes: Vec<u8>,
    filled: usize,
}

impl Frames {
    pub(crate) fn new() -> Self {
        Self {
            block: vec![0; BLOCK].into(),
            start: 0,
            end: 0,
            large: None,
        }
    }

    /// Where the next bytes go. It is never empty if [`next`](Self::next) returned `None` after the last [`add`](Self::add).
    pub(crate) fn space(&mut self) -> &mut [u8] {
        if self.is_empty() {
            // All replies that were due may end with the block.
            (self.start, self.end) = (0, 0);
        }
        match &mut self.large {
            Some(large) => &mut large.bytes[large.filled..],
            None => &mut self.block[self.end..],
        }
    }

    /// Adds the first `count` bytes of [`space`](Self::space).
    pub(crate) fn add(&mut self, count: usize) {
        match &mut self.large {
            Some(large) => large.filled += count,
            None => self.end += count,
        }
    }

    /// Whether no byte is left over.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end && self.large.is_none()
    }

    /// Removes the next frame. `None` if it is incomplete.
    pub(crate) fn next(&mut self, due: Due) -> Result<Option<Frame>, Malformed> {
        let frame = match self.large.take_if(|large| large.filled == large.bytes.len()) {
            Some(large) => Some(large.finish()?),
            None if self.large.is_some() => None,
            None => self.next_in_block(due)?,
        };
        if frame.is_none() && self.start > 0 {
            self.block.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        Ok(frame)
    }

    fn next_in_block(&mut self, due: Due) -> Result<Option<Frame>, Malformed> {
        let bytes = &self.block[self.start..self.end];
        let Some(kind) = bytes.first() else {
            return Ok(None);
        };
        let (frame, length) = match (kind, due) {
            (b'$', Due::Bulk { max }) => return self.bulk(max),
            (b'+', Due::Ok) => match line(bytes, 3)? {
                Some(b"+OK") => (Frame::Ok, 3),
                Some(_) => return Err(Malformed),
                None => return Ok(None),
            },
            (b'-', _) => match line(bytes, MAX_ERROR)? {
                Some(line) => (Frame::Error, line.len()),
                None => return Ok(None),
            },
            _ => return Err(Malformed),
        };
        self.start += length + 2;
        Ok(Some(frame))
    }

    fn bulk(&mut self, max: usize) -> Result<Option<Frame>, Malformed> {
        let bytes = &self.block[self.start..self.end];
        let Some(line) = line(bytes, MAX_LENGTH_LINE)? else {
            return Ok(None);
        };
        let head = line.len() + 2;
        if line == b"$-1" {
            self.start += head;
            return Ok(Some(Frame::Null));
        }
        let length = number(&line[1..])
            .filter(|length| *length <= max)
            .ok_or(Malformed)?;
        let rest = &bytes[head..];
        if let Some(payload) = rest.get(..length + 2) {
            let payload = payload.strip_suffix(b"\r\n").ok_or(Malformed)?;
            let payload = Bytes::copy_from_slice(payload);
            self.start += head + length + 2;
            return Ok(Some(Frame::Bulk(payload)));
        }
        if length > MAX_COPIED {
            let mut large = vec![0; length + 2];
            large[..rest.len()].copy_from_slice(rest);
            self.large = Some(Large {
                bytes: large,
                filled: rest.len(),
            });
            (self.start, self.end) = (0, 0);
        }
        Ok(None)
    }
}

impl Large {
    fn finish(mut self) -> Result<Frame, Malformed> {
        if !self.bytes.ends_with(b"\r\n") {
            return Err(Malformed);
        }
        self.bytes.truncate(self.bytes.len() - 2);
        Ok(Frame::Bulk(self.bytes.into()))
    }
}

/// The line at the beginning of `bytes`, without its end. `None` if it is incomplete.
fn line(bytes: &[u8], max: usize) -> Result<Option<&[u8]>, Malformed> {
    let bytes = &bytes[..bytes.len().min(max + 2)];
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) => bytes[..end].strip_suffix(b"\r").map(Some).ok_or(Malformed),
        None if bytes.len() == max + 2 => Err(Malformed),
        None => Ok(None),
    }
}

fn number(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_usize, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| digit - b'0')?;
        number.checked_mul(10)?.checked_add(digit.into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `pieces` and returns every frame, each of which is due as `due`.
    fn frames(pieces: &[&[u8]], due: Due) -> Result<Vec<Frame>, Malformed> {
        let mut frames = Frames::new();
        let mut found = Vec::new();
        for piece in pieces {
            let mut piece = *piece;
            while !piece.is_empty() {
                let space = frames.space();
                let count = space.len().min(piece.len());
                assert!(count > 0, "no space");
                space[..count].copy_from_slice(&piece[..count]);
                frames.add(count);
                piece = &piece[count..];
                while let Some(frame) = frames.next(due)? {
                    found.push(frame);
                }
            }
        }
        Ok(found)
    }

    fn bulk(payload: &[u8]) -> Vec<u8> {
        [format!("${}\r\n", payload.len()).as_bytes(), payload, b"\r\n"].concat()
    }

    fn payload(length: usize) -> Vec<u8> {
        (0..length).map(|n| b"\r\n$-+0a\0"[n * 7 % 8]).collect()
    }

    const BULK: Due = Due::Bulk { max: 40_000 };

    #[test]
    fn replies_that_fill_the_block_leave_space_for_the_next() {
        let mut frames = Frames::new();
        let reply = bulk(&payload(504));
        for chunk in frames.space().chunks_exact_mut(reply.len()) {
            chunk.copy_from_slice(&reply);
        }
        frames.add(BLOCK);
        // Nobody asks for one more: nothing is due.
        for _ in 0..BLOCK / reply.len() {
            assert_eq!(frames.next(BULK), Ok(Some(Frame::Bulk(payload(504).into()))));
        }
        assert!(!frames.space().is_empty());
    }

    #[test]
    fn each_reply_is_the_same_wherever_it_is_cut() {
        let error = [b"-", &vec![b'x'; MAX_ERROR - 1][..], b"\r\n"].concat();
        let cases = [
            (bulk(b""), BULK, Frame::Bulk(Bytes::new())),
            (bulk(b"a\r\nb"), BULK, Frame::Bulk("a\r\nb".into())),
            (bulk(&payload(300)), BULK, Frame::Bulk(payload(300).into())),
            (bulk(&payload(17_000)), BULK, Frame::Bulk(payload(17_000).into())),
            (b"$-1\r\n".to_vec(), BULK, Frame::Null),
            (b"-ERR no\r\n".to_vec(), BULK, Frame::Error),
            (b"-ERR no\r\n".to_vec(), Due::Ok, Frame::Error),
            (error, BULK, Frame::Error),
            (b"+OK\r\n".to_vec(), Due::Ok, Frame::Ok),
        ];
        for (bytes, due, frame) in cases {
            // Twice, so that the second reply follows the first one in the block.
            let twice = [&bytes[..], &bytes].concat();
            let expected = Ok(vec![frame.clone(), frame]);
            let single: Vec<&[u8]> = twice.chunks(1).collect();
            assert_eq!(frames(&single, due), expected);
            let step = 1 + twice.len() / 1000;
            for cut in (0..=twice.len()).step_by(step) {
                assert_eq!(frames(&[&twice[..cut], &twice[cut..]], due), expected, "{cut}");
            }
        }
    }

    #[test]
    fn many_replies_of_any_length_pass_through_one_block() {
        let lengths = [0, 1, 1023, 16_384, 16_385, 32_768, 40_000, 5, 30_000, 2];
        let payloads: Vec<_> = lengths.into_iter().cycle().take(200).map(payload).collect();
        let bytes: Vec<u8> = payloads.iter().flat_map(|payload| bulk(payload)).collect();
        let expected: Vec<_> = payloads
            .into_iter()
            .map(|payload| Frame::Bulk(payload.into()))
            .collect();
        for size in [1, 1000, 16_384, 65_536, bytes.len()] {
            let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
            assert_eq!(frames(&pieces, BULK).as_ref(), Ok(&expected));
        }
    }

    #[test]
    fn what_is_not_due_is_malformed_at_its_first_wrong_byte() {
        let cases: [(&[u8], Due); 22] = [
            (b"+", BULK),
            (b":", BULK),
            (b"*", BULK),
            (b">", BULK),
            (b"_", BULK),
            (b"\r", BULK),
            (b"\0", Due::Ok),
            (b"$", Due::Ok),
            (b"+QUEUED", Due::Ok),
            (b"+O\r\n", Due::Ok),
            (b"$\r\n", BULK),
            (b"$-2\r\n", BULK),
            (b"$+1\r\n", BULK),
            (b"$ 1\r\n", BULK),
            (b"$1\n", BULK),
            (b"$1\r\nab\r", BULK),
            (b"$1\r\na\n\r", BULK),
            (b"$40001\r\n", BULK),
            (b"$99999999999999", BULK),
            (b"$00000000000000", BULK),
            (b"-ERR\n", BULK),
            (b"$0\r\nab", BULK),
        ];
        for (bytes, due) in cases {
            let bytes_read = String::from_utf8_lossy(bytes);
            assert_eq!(frames(&[bytes], due), Err(Malformed), "{bytes_read:?}");
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(frames(&single, due), Err(Malformed), "{bytes_read:?}");
        }
        let endless = vec![b'-'; MAX_ERROR + 2];
        assert_eq!(frames(&[&endless], BULK), Err(Malformed));
        let mut unended = bulk(&payload(20_000));
        *unended.last_mut().expect("bytes") = b'x';
        let pieces: Vec<&[u8]> = unended.chunks(1000).collect();
        assert_eq!(frames(&pieces, BULK), Err(Malformed));
    }

    #[test]
    fn a_kept_payload_does_not_keep_the_block_alive() {
        let mut found = frames(&[&bulk(b"short"), &bulk(b"other")], BULK).expect("bulk strings");
        let Some(Frame::Bulk(payload)) = found.pop() else {
            panic!("{found:?}")
        };
        let capacity = payload.try_into_mut().map(|bytes| bytes.capacity());
        assert_eq!(capacity, Ok(5), "the payload shares its allocation");
    }

    #[test]
    fn a_large_payload_is_read_into_its_own_buffer() {
        let mut frames = Frames::new();
        let head = b"$30000\r\n";
        frames.space()[..head.len()].copy_from_slice(head);
        frames.add(head.len());
        assert_eq!(frames.next(BULK), Ok(None));
        assert_eq!(frames.space().len(), 30_002);
    }
}
