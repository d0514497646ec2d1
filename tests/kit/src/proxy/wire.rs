//! Framing of RESP2 and RESP3.

/// Splits a byte stream into frames: requests, replies, pushes. Other protocols, such as TLS, pass unchanged.
#[derive(Default)]
pub(crate) struct Frames {
    buffer: Vec<u8>,
    foreign: bool,
}

impl Frames {
    /// Adds bytes and returns the frames that are complete.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.buffer.extend_from_slice(bytes);
        self.foreign |= !b"*$+-:_#,(!=%~>|".contains(&self.buffer[0]);
        if self.foreign {
            return vec![std::mem::take(&mut self.buffer)];
        }
        let mut frames = Vec::new();
        while let Some(length) = length(&self.buffer) {
            let rest = self.buffer.split_off(length);
            frames.push(std::mem::replace(&mut self.buffer, rest));
        }
        frames
    }
}

/// Whether the frame is a push.
pub(crate) fn is_push(frame: &[u8]) -> bool {
    frame.first() == Some(&b'>')
}

/// The command name of a request, in upper case.
pub(crate) fn name(request: &[u8]) -> String {
    let name = words(request).first().copied().unwrap_or_default();
    String::from_utf8_lossy(name).to_uppercase()
}

/// The words of a request, which is an array of bulk strings.
pub(crate) fn words(request: &[u8]) -> Vec<&[u8]> {
    let Some((b'*', count, mut at)) = header(request) else {
        return Vec::new();
    };
    let mut words = Vec::new();
    for _ in 0..count {
        let Some((b'$', length, start)) = header(&request[at..]) else {
            break;
        };
        words.push(&request[at + start..at + start + length]);
        at += start + length + 2;
    }
    words
}

/// The length of the first frame; `None` if it is incomplete.
fn length(bytes: &[u8]) -> Option<usize> {
    let (kind, number, mut at) = header(bytes)?;
    let parts = match kind {
        b'$' | b'!' | b'=' if bytes[1] != b'-' => {
            let whole = at + number + 2;
            return (bytes.len() >= whole).then_some(whole);
        }
        b'*' | b'~' | b'>' if bytes[1] != b'-' => number,
        b'%' => 2 * number,
        b'|' => 2 * number + 1,
        _ => 0,
    };
    for _ in 0..parts {
        at += length(&bytes[at..])?;
    }
    Some(at)
}

/// The type byte of a line, its number (0 if it has none), and the offset of the next line.
fn header(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let (kind, number) = bytes[..end].split_first()?;
    let number = std::str::from_utf8(number)
        .ok()
        .and_then(|text| text.parse().ok());
    Some((*kind, number.unwrap_or(0), end + 2))
}
