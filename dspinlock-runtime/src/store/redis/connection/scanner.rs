//! The headers of RESP2 and RESP3 in a byte stream that arrives in any pieces. `budget` calls it. It keeps no payload and
//! recurses nowhere.

/// What the client allocates for an element of an array at most, and for an array beyond its elements.
const ELEMENT: u64 = 64;
const ARRAY: u64 = 256;
/// The longest line. Payloads are not lines.
const MAX_LINE: u64 = 64 << 10;
/// The longest name of a command and the longest number that are looked at.
const MAX_WORD: usize = 32;

/// The server has sent more than it was asked for, or no RESP.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Exceeded;

/// The replies of a server.
#[derive(Debug, Default)]
pub(super) struct Replies {
    at: At,
    /// How many values the current reply still lacks. At the start of a reply it is zero.
    values: u64,
    scan: Scan,
}

/// Where the next byte belongs.
#[derive(Debug, Default, Clone, Copy)]
enum At {
    /// The first byte of a value.
    #[default]
    Start,
    /// The line of a value of this type.
    Line {
        kind: u8,
        number: Number,
        after_cr: bool,
        length: u64,
    },
    /// A payload of which so many bytes are missing, with its line end.
    Payload(u64),
}

/// The current reply so far.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Scan {
    pub(super) cost: u64,
    pub(super) is_push: bool,
    pub(super) is_complete: bool,
}

impl Replies {
    /// Scans at most to the end of a header, a payload or a reply. Returns the rest. `bytes` must not be empty.
    pub(super) fn scan<'a>(&mut self, bytes: &'a [u8]) -> Result<(&'a [u8], Scan), Exceeded> {
        if self.scan.is_complete {
            self.scan = Scan::default();
        }
        let rest = match self.at {
            At::Start => self.start(bytes),
            At::Line { .. } => self.line(bytes)?,
            At::Payload(missing) => self.payload(bytes, missing),
        };
        Ok((rest, self.scan))
    }

    fn start<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let kind = bytes[0];
        if self.values == 0 {
            self.values = 1;
            self.scan.is_push = kind == b'>';
        }
        self.scan.cost += 1;
        self.at = At::Line {
            kind,
            number: Number::default(),
            after_cr: false,
            length: 0,
        };
        &bytes[1..]
    }

    fn line<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Exceeded> {
        let At::Line {
            kind,
            mut number,
            mut after_cr,
            mut length,
        } = self.at
        else {
            return Ok(bytes);
        };
        let has_number = matches!(kind, b'$' | b'!' | b'=' | b'*' | b'~' | b'>' | b'%' | b'|');
        for (at, byte) in bytes.iter().enumerate() {
            match byte {
                b'\n' if after_cr => {
                    self.scan.cost += at as u64 + 1;
                    self.header(kind, number)?;
                    return Ok(&bytes[at + 1..]);
                }
                b'\r' if !after_cr || !has_number => after_cr = true,
                _ if has_number && after_cr => return Err(Exceeded),
                _ if has_number => number.push(*byte)?,
                _ => after_cr = false,
            }
        }
        self.scan.cost += bytes.len() as u64;
        length += bytes.len() as u64;
        if length > MAX_LINE {
            return Err(Exceeded);
        }
        self.at = At::Line {
            kind,
            number,
            after_cr,
            length,
        };
        Ok(&[])
    }

    /// The line of a value is complete.
    fn header(&mut self, kind: u8, number: Number) -> Result<(), Exceeded> {
        self.at = At::Start;
        let values = match kind {
            b'$' if number.is_negative => 0,
            b'$' | b'!' | b'=' => {
                let length = number.value()?;
                self.scan.cost = self.scan.cost.saturating_add(length);
                self.at = At::Payload(length.checked_add(2).ok_or(Exceeded)?);
                return Ok(());
            }
            b'*' | b'~' | b'>' if number.is_negative => 0,
            b'*' | b'~' | b'>' => number.value()?,
            b'%' => number.value()?.saturating_mul(2),
            b'|' => number.value()?.saturating_mul(2).saturating_add(1),
            b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' => 0,
            _ => return Err(Exceeded),
        };
        if !matches!(kind, b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' | b'$') {
            let elements = values.saturating_mul(ELEMENT).saturating_add(ARRAY);
            self.scan.cost = self.scan.cost.saturating_add(elements);
        }
        self.values = self.values.saturating_add(values);
        self.end();
        Ok(())
    }

    fn payload<'a>(&mut self, bytes: &'a [u8], missing: u64) -> &'a [u8] {
        let length = usize::try_from(missing).map_or(bytes.len(), |missing| missing.min(bytes.len()));
        match missing - length as u64 {
            0 => {
                self.at = At::Start;
                self.end();
            }
            missing => self.at = At::Payload(missing),
        }
        &bytes[length..]
    }

    /// A value is complete, except for its elements.
    fn end(&mut self) {
        self.values -= 1;
        self.scan.is_complete = self.values == 0;
    }
}

/// The decimal number of a header.
#[derive(Debug, Default, Clone, Copy)]
struct Number {
    value: u64,
    digits: u8,
    is_negative: bool,
}

impl Number {
    /// Only what every server sends: a minus or digits.
    fn push(&mut self, byte: u8) -> Result<(), Exceeded> {
        match byte {
            b'-' if self.digits == 0 && !self.is_negative => self.is_negative = true,
            b'0'..=b'9' if self.digits < 18 => {
                self.value = self.value * 10 + u64::from(byte - b'0');
                self.digits += 1;
            }
            _ => return Err(Exceeded),
        }
        Ok(())
    }

    fn value(self) -> Result<u64, Exceeded> {
        match self.digits > 0 && !self.is_negative {
            true => Ok(self.value),
            false => Err(Exceeded),
        }
    }
}

/// The requests of a client: arrays of bulk strings. The client is trusted.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// The number in the current header, which is that of the words, or the length of the next word.
    number: u64,
    /// How many words of the request are missing, the current one included.
    words: u64,
    /// How many bytes of the current word are missing, with its line end. Zero in a header.
    missing: u64,
    first: Option<Word>,
    /// The current word so far.
    word: Word,
}

/// The beginning of a word.
#[derive(Debug, Default)]
struct Word {
    bytes: [u8; MAX_WORD],
    length: usize,
}

impl Word {
    fn push(&mut self, bytes: &[u8]) {
        let length = bytes.len().min(MAX_WORD - self.length);
        self.bytes[self.length..self.length + length].copy_from_slice(&bytes[..length]);
        self.length += length;
    }

    /// The word without its line end.
    fn text(&self) -> &[u8] {
        let text = &self.bytes[..self.length];
        text.strip_suffix(b"\r\n").unwrap_or(text)
    }
}

impl Requests {
    /// Calls `request` with the first and the last word of each complete request. Long words are cut.
    pub(super) fn scan(&mut self, mut bytes: &[u8], mut request: impl FnMut(&[u8], &[u8])) {
        while !bytes.is_empty() {
            bytes = match self.missing {
                0 => self.header(bytes),
                missing => self.word(bytes, missing, &mut request),
            };
        }
    }

    fn header<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        for (at, byte) in bytes.iter().enumerate() {
            match byte {
                b'0'..=b'9' => {
                    let digit = u64::from(byte - b'0');
                    self.number = self.number.saturating_mul(10).saturating_add(digit);
                }
                b'\n' => {
                    let number = std::mem::take(&mut self.number);
                    match self.words {
                        0 => self.words = number,
                        _ => self.missing = number.saturating_add(2),
                    }
                    return &bytes[at + 1..];
                }
                _ => {}
            }
        }
        &[]
    }

    fn word<'a>(&mut self, bytes: &'a [u8], missing: u64, request: impl FnOnce(&[u8], &[u8])) -> &'a [u8] {
        let length = usize::try_from(missing).map_or(bytes.len(), |missing| missing.min(bytes.len()));
        let (word, rest) = bytes.split_at(length);
        self.word.push(word);
        self.missing = missing - length as u64;
        if self.missing == 0 {
            let word = std::mem::take(&mut self.word);
            self.words -= 1;
            if self.words == 0 {
                let first = self.first.take();
                request(first.as_ref().unwrap_or(&word).text(), word.text());
            } else if self.first.is_none() {
                self.first = Some(word);
            }
        }
        rest
    }
}

#[cfg(test)]
mod tests {
    use redis::parse_redis_value;

    use super::*;

    /// The ends of the replies in `bytes`, which arrive in pieces of this size.
    fn ends(bytes: &[u8], piece: usize) -> Result<Vec<usize>, Exceeded> {
        let (mut replies, mut ends, mut at) = (Replies::default(), Vec::new(), 0);
        for mut piece in bytes.chunks(piece) {
            while !piece.is_empty() {
                let (rest, scan) = replies.scan(piece)?;
                at += piece.len() - rest.len();
                piece = rest;
                ends.extend(scan.is_complete.then_some(at));
            }
        }
        Ok(ends)
    }

    const REPLIES: [&[u8]; 19] = [
        b"+OK\r\n",
        b"-ERR \r a\nb\r\r\n",
        b":-7\r\n",
        b"$-1\r\n",
        b"$0\r\n\r\n",
        b"$7\r\n*1\r\n+OK\r\n",
        b"*-1\r\n",
        b"*0\r\n",
        b"*2\r\n$1\r\na\r\n*1\r\n*2\r\n:1\r\n_\r\n",
        b"_\r\n",
        b",1.5\r\n",
        b"#t\r\n",
        b"(123\r\n",
        b"!5\r\nERR a\r\n",
        b"=5\r\ntxt:a\r\n",
        b"%2\r\n+a\r\n:1\r\n+b\r\n*1\r\n:2\r\n",
        b"~1\r\n:1\r\n",
        b"|1\r\n+a\r\n:1\r\n*1\r\n:2\r\n",
        b">2\r\n+invalidate\r\n*1\r\n$1\r\na\r\n",
    ];

    #[test]
    fn replies_end_where_the_client_ends_them_in_any_pieces() {
        for reply in REPLIES {
            parse_redis_value(reply).expect("a reply");
        }
        let all = REPLIES.concat();
        let expected: Vec<_> = REPLIES
            .iter()
            .scan(0, |end, reply| {
                *end += reply.len();
                Some(*end)
            })
            .collect();
        for piece in 1..=all.len() {
            assert_eq!(ends(&all, piece).as_ref(), Ok(&expected), "in pieces of {piece}");
        }
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        for bytes in [
            "HTTP/1.1 400\r\n",
            "$x\r\n",
            "$ 1\r\n",
            "$\r\n",
            "!-1\r\n",
            "%-1\r\n",
            "$1\rx\r\n",
            "*?\r\n",
        ] {
            assert_eq!(ends(bytes.as_bytes(), 64), Err(Exceeded), "{bytes:?}");
        }
        assert_eq!(ends(b"*9999999999999999999\r\n", 64), Err(Exceeded));
    }

    #[test]
    fn arbitrary_bytes_end_where_the_client_ends_them() {
        let (mut seed, alphabet) = (1_u64, b"\r\n\r\n\r\n0123-+:$*%|>~!=_,#ax");
        let mut random = |below: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            (seed >> 16) as usize % below
        };
        for _ in 0..20_000 {
            let bytes: Vec<_> = match random(2) {
                0 => (0..random(24))
                    .map(|_| alphabet[random(alphabet.len())])
                    .collect(),
                _ => {
                    let mut reply = REPLIES[random(REPLIES.len())].to_vec();
                    let at = random(reply.len());
                    reply[at] = alphabet[random(alphabet.len())];
                    reply
                }
            };
            // Only a reply that the client accepts, and whose last byte it needs.
            let is_reply =
                parse_redis_value(&bytes).is_ok() && parse_redis_value(&bytes[..bytes.len() - 1]).is_err();
            if is_reply && let Ok(ends) = ends(&bytes, 1 + random(8)) {
                assert_eq!(
                    ends.first(),
                    Some(&bytes.len()),
                    "{:?}",
                    String::from_utf8_lossy(&bytes)
                );
            }
        }
    }

    #[test]
    fn a_request_has_a_first_and_a_last_word_in_any_pieces() {
        let mut pipeline = redis::Pipeline::new();
        pipeline.cmd("GETRANGE").arg("*1\r\n").arg(0).arg(1234);
        pipeline.cmd("PING");
        pipeline.cmd("SET").arg("k").arg(vec![b'x'; 100]);
        let bytes = pipeline.get_packed_pipeline();
        for piece in 1..=bytes.len() {
            let (mut requests, mut found) = (Requests::default(), Vec::new());
            for piece in bytes.chunks(piece) {
                requests.scan(piece, |first, last| {
                    found.push([first, last].map(|word| String::from_utf8_lossy(word).into_owned()));
                });
            }
            let long = "x".repeat(MAX_WORD);
            let expected = [["GETRANGE", "1234"], ["PING", "PING"], ["SET", &long]];
            assert_eq!(
                found,
                expected.map(|words| words.map(str::to_owned)),
                "in pieces of {piece}"
            );
        }
    }
}
