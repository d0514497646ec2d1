//! What a hostile server sends instead of a reply.

use std::io::Write;
use std::net::TcpStream;
use std::thread::sleep;
use std::time::Duration;

use super::Shared;

/// What happens at the attacked reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attack {
    /// The honest reply. It only counts as an attack.
    Nothing,
    /// Nothing is sent any more.
    Mute,
    /// Nothing is sent, and the connection is closed after this time.
    Hang(Duration),
    /// The first half of the honest reply in a second and a half, then nothing.
    Stall,
    /// The same, then the connection is closed. Later replies are honest.
    Break,
    /// The honest reply, one byte a second.
    Drip,
    /// A bulk string of 2^40 bytes.
    EndlessBulk,
    /// A line without an end.
    EndlessLine,
    /// An array of a billion numbers.
    HugeArray,
    /// Ninety arrays of a billion elements in each other.
    NestedArrays,
    /// Many small replies without end.
    Replies,
    /// Invalidations without end.
    Pushes,
    /// One invalidation of a billion names.
    HugePush,
    /// The honest reply, then invalidations without end.
    IdlePushes,
    /// The honest reply, then small replies without end.
    IdleReplies,
    /// The honest reply, then a bulk string of 2^40 bytes.
    IdleBulk,
    /// A reply of a type that no request expects.
    WrongType,
    /// Nil.
    Nil,
    /// A bulk string of bytes that are no value.
    Noise,
    /// COMPUTED, as a script says it.
    Computed,
    /// DONE, as a script says it.
    Done,
    /// EXISTS, as a script says it.
    Exists,
    /// The grant of another call.
    OtherGrant,
    /// The value that was read last, with a wrong last byte. To a script: as its hit.
    Damaged,
    /// The same, under another tag each time.
    DamagedAnew,
    /// The first value that was read, whatever the key.
    Foreign,
    /// The first attacked reply is honest. The second one has the value of the first one, to a script as its hit. Later replies
    /// are honest.
    ForeignOnce,
    /// The holder is always the same, and long dead.
    DeadHolder,
    /// The connection is closed after so many bytes of the honest reply, and after one more at each further attack.
    Cut(usize),
}

impl Attack {
    /// Returns whether the connection is honest afterwards.
    pub(super) fn run(self, client: &mut TcpStream, honest: &[u8], before: usize, shared: &Shared) -> bool {
        const INVALIDATION: &[u8] = b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n";
        const BULK: &[u8] = b"$1099511627776\r\n";
        const ARRAY: &[u8] = b"*1000000000\r\n";
        match self {
            Self::Nothing => client.write_all(honest).is_ok(),
            Self::Mute => mute(client),
            Self::Stall => slowly(client, &honest[..honest.len() / 2]) && mute(client),
            Self::Break if before > 0 => client.write_all(honest).is_ok(),
            Self::Break => {
                slowly(client, &honest[..honest.len() / 2]);
                false
            }
            Self::Hang(time) => {
                sleep(time);
                false
            }
            Self::Drip => honest.iter().all(|byte| {
                sleep(Duration::from_secs(1));
                client.write_all(&[*byte]).is_ok()
            }),
            Self::EndlessBulk => flood(client, BULK, b"x"),
            Self::EndlessLine => flood(client, b"+", b"x"),
            Self::HugeArray => flood(client, ARRAY, b":1\r\n"),
            Self::NestedArrays => flood(client, &ARRAY.repeat(90), b":1\r\n"),
            Self::Replies => flood(client, b"", b"+OK\r\n"),
            Self::Pushes => flood(client, b"", INVALIDATION),
            Self::HugePush => flood(
                client,
                b">2\r\n$10\r\ninvalidate\r\n*1000000000\r\n",
                b"$1\r\na\r\n",
            ),
            Self::IdlePushes => flood(client, honest, INVALIDATION),
            Self::IdleReplies => flood(client, honest, b"+OK\r\n"),
            Self::IdleBulk => flood(client, &[honest, BULK].concat(), b"x"),
            Self::WrongType => client.write_all(b"%1\r\n+a\r\n*2\r\n#t\r\n,1.5\r\n").is_ok(),
            Self::Nil => client.write_all(b"$-1\r\n").is_ok(),
            Self::Noise => client.write_all(b"$5\r\n\xff,\n\0a\r\n").is_ok(),
            Self::Computed => client.write_all(b"*1\r\n$8\r\nCOMPUTED\r\n").is_ok(),
            Self::Done => client.write_all(b"*1\r\n$4\r\nDONE\r\n").is_ok(),
            Self::Exists => client.write_all(b"*2\r\n$6\r\nEXISTS\r\n:-1\r\n").is_ok(),
            Self::OtherGrant => client
                .write_all(b"$33\r\nBtag-of-another__0000000000000007\r\n")
                .is_ok(),
            Self::Damaged => client.write_all(&damaged(honest, None, shared)).is_ok(),
            Self::DamagedAnew => client.write_all(&damaged(honest, Some(before), shared)).is_ok(),
            Self::ForeignOnce if before > 1 => client.write_all(honest).is_ok(),
            Self::Foreign | Self::ForeignOnce => client.write_all(&first(honest, shared)).is_ok(),
            Self::DeadHolder => client
                .write_all(
                    b"*5\r\n$4\r\nBUSY\r\n$36\r\ndead,2000-01-01T00:00:00.000+00:00,0\r\n:1000000\r\n\
                      $16\r\n1795416240000000\r\n:0\r\n",
                )
                .is_ok(),
            Self::Cut(first) => {
                // Fails if the client has closed the connection.
                let _ = client.write_all(&honest[..(first + before).min(honest.len())]);
                false
            }
        }
    }
}

/// Waits until the client or the test closes the connection. The other thread of the connection reads the requests.
fn mute(client: &TcpStream) -> bool {
    while client.peer_addr().is_ok() && client.peek(&mut [0]).is_ok_and(|length| length > 0) {
        sleep(Duration::from_millis(50));
    }
    false
}

/// Sends the bytes in fifteen pieces, ten a second.
fn slowly(client: &mut TcpStream, bytes: &[u8]) -> bool {
    bytes.chunks(bytes.len().div_ceil(15).max(1)).all(|piece| {
        sleep(Duration::from_millis(100));
        client.write_all(piece).is_ok()
    })
}

/// Sends `first`, then `unit` without end, about 25 MiB a second.
fn flood(client: &mut TcpStream, first: &[u8], unit: &[u8]) -> bool {
    let chunk = unit.repeat((64 << 10) / unit.len());
    let mut open = client.write_all(first).is_ok();
    while open {
        open = client.write_all(&chunk).is_ok();
        sleep(Duration::from_millis(2));
    }
    false
}

/// The first bulk string with a value, as the reply to a read or in the hit of a script.
fn first(honest: &[u8], shared: &Shared) -> Vec<u8> {
    let value = &mut shared.state().value;
    let is_bulk = is_read(honest);
    if value.is_empty() && is_bulk && honest.len() > 64 {
        *value = honest.to_vec();
    }
    match (value.is_empty(), is_bulk) {
        (true, _) => honest.to_vec(),
        (false, true) => value.clone(),
        (false, false) => [b"*3\r\n$3\r\nHIT\r\n", &value[..], b":1000\r\n"].concat(),
    }
}

/// Whether this is the reply to a read. A bulk string may also be the grant of an ACQUIRE, the head of a held lock.
fn is_read(honest: &[u8]) -> bool {
    honest.starts_with(b"$") && !honest.starts_with(b"$33\r\nB")
}

/// A value with a wrong last byte, as a bulk string or in the hit of a script.
fn damaged(honest: &[u8], under: Option<usize>, shared: &Shared) -> Vec<u8> {
    let start = honest
        .iter()
        .position(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    let is_bulk = is_read(honest);
    if is_bulk && honest.len() > start + 2 {
        let mut value = honest[start..honest.len() - 2].to_vec();
        if let Some(last) = value.last_mut() {
            *last ^= 1;
        }
        shared.state().value = value;
    }
    let mut value = shared.state().value.clone();
    if let Some(under) = under {
        value = under_tag(&value, under);
    }
    let head = if is_bulk { "" } else { "*3\r\n$3\r\nHIT\r\n" };
    let tail = if is_bulk { "" } else { ":1000\r\n" };
    let length = value.len();
    [
        format!("{head}${length}\r\n").as_bytes(),
        &value,
        b"\r\n",
        tail.as_bytes(),
    ]
    .concat()
}

/// The value under another tag. The tag is behind the letter of the kind.
fn under_tag(value: &[u8], number: usize) -> Vec<u8> {
    let mut value = value.to_vec();
    if let Some(tag) = value.get_mut(1..17) {
        tag.copy_from_slice(format!("{number:0>16}").as_bytes());
    }
    value
}
