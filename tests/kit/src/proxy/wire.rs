//! What goes over a connection, piece by piece: RESP2 and RESP3.

/// Cuts a stream of bytes into whole pieces: requests, replies, pushes. What is not RESP, as TLS, passes as it comes.
#[derive(Default)]
pub(super) struct Pieces {
    begun: Vec<u8>,
    foreign: bool,
}

impl Pieces {
    /// What has become whole with these bytes.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.begun.extend_from_slice(bytes);
        self.foreign |= !b"*$+-:_#,(!=%~>|".contains(&self.begun[0]);
        if self.foreign {
            return vec![std::mem::take(&mut self.begun)];
        }
        let mut pieces = Vec::new();
        while let Some(length) = length(&self.begun) {
            let rest = self.begun.split_off(length);
            pieces.push(std::mem::replace(&mut self.begun, rest));
        }
        pieces
    }
}

/// Whether the piece was sent by the server on its own.
pub(super) fn is_push(piece: &[u8]) -> bool {
    piece.first() == Some(&b'>')
}

/// The command of a request, in capitals.
pub(super) fn name(request: &[u8]) -> String {
    let name = words(request).first().copied().unwrap_or_default();
    String::from_utf8_lossy(name).to_uppercase()
}

/// The words of a request: an array of strings.
pub(super) fn words(request: &[u8]) -> Vec<&[u8]> {
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

/// How long the first piece is; `None` where it is not whole yet.
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

/// The kind of a line, its number where it has one, and where the next line begins.
fn header(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let (kind, number) = bytes[..end].split_first()?;
    let number = std::str::from_utf8(number)
        .ok()
        .and_then(|text| text.parse().ok());
    Some((*kind, number.unwrap_or(0), end + 2))
}
