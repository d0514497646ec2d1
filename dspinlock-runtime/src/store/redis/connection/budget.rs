//! Bounds what a server may send on one connection, before anything is allocated for it.
//!
//! `transport` passes it every byte, in both directions, from the first one on. It reads the requests that are written, so it
//! knows how long each reply may be, and the headers of the replies. A reply costs its bytes, and its elements at what
//! the client allocates for them. A reply that costs too much is refused at its header.

use std::collections::VecDeque;

use super::scanner::{Exceeded, Replies, Requests, Scan};
use crate::store::redis::wire::command::{is_registration, max_reply};

/// What any reply or push may cost, and what a reply may cost beyond the bound of its request.
const SLACK: u64 = 64 << 10;
/// What pushes may cost between two requests, beyond those that were asked for.
const PUSHES: u64 = 1 << 20;
/// What the pushes may cost that one registration causes: a script may read two names.
const REGISTRATION: u64 = 4 << 10;

/// The budget of one connection.
#[derive(Debug)]
pub(crate) struct Budget {
    requests: Requests,
    replies: Replies,
    /// How long the reply to each request may be, in the order of the requests.
    expected: VecDeque<u64>,
    /// What replies without a request have cost since the last request.
    unasked: u64,
    /// What pushes may still cost.
    pushes: u64,
    /// The bytes of pushes.
    pushed: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            requests: Requests::default(),
            replies: Replies::default(),
            expected: VecDeque::new(),
            unasked: 0,
            pushes: PUSHES,
            pushed: 0,
        }
    }
}

impl Budget {
    /// The client writes these bytes.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let Self {
            requests,
            expected,
            unasked,
            pushes,
            ..
        } = self;
        requests.scan(bytes, |name, last| {
            *unasked = 0;
            *pushes = (*pushes).max(PUSHES);
            if is_registration(name, last) {
                *pushes = pushes.saturating_add(REGISTRATION);
            }
            expected.extend(max_reply(name, last));
        });
    }

    /// The server has sent these bytes. After an error the connection must be closed.
    pub(crate) fn read(&mut self, mut bytes: &[u8]) -> Result<(), Exceeded> {
        while !bytes.is_empty() {
            let (rest, scan) = self.replies.scan(bytes)?;
            if scan.is_push {
                self.pushed += (bytes.len() - rest.len()) as u64;
            }
            bytes = rest;
            self.check(scan)?;
        }
        Ok(())
    }

    /// The bytes of pushes among those that the server has sent.
    pub(crate) fn pushed(&self) -> u64 {
        self.pushed
    }

    fn check(&mut self, scan: Scan) -> Result<(), Exceeded> {
        let expected = match scan.is_push {
            true => 0,
            false => self.expected.front().copied().unwrap_or(0),
        };
        if scan.cost > expected.saturating_add(SLACK) {
            return Err(Exceeded);
        }
        if scan.is_complete && scan.is_push {
            self.pushes = self.pushes.checked_sub(scan.cost).ok_or(Exceeded)?;
        } else if scan.is_complete && self.expected.pop_front().is_none() {
            self.unasked += scan.cost;
            if self.unasked > SLACK {
                return Err(Exceeded);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use redis::{Cmd, Pipeline};

    use super::*;
    use crate::store::redis::wire::command::range;

    const PUSH: &[u8] = b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n";

    fn asked(commands: &[Cmd]) -> Budget {
        let mut pipeline = Pipeline::new();
        for command in commands {
            pipeline.add_command(command.clone());
        }
        let mut budget = Budget::default();
        // Written in pieces, as a slow socket takes them.
        pipeline
            .get_packed_pipeline()
            .chunks(3)
            .for_each(|piece| budget.write(piece));
        budget
    }

    fn bulk(length: usize) -> Vec<u8> {
        [format!("${length}\r\n").as_bytes(), &vec![b'x'; length], b"\r\n"].concat()
    }

    #[test]
    fn a_reply_within_its_bound_passes_and_a_longer_one_is_refused_at_its_header() {
        let bound = 1 << 20;
        let read = || asked(&[range("k", bound)]);
        let mut budget = read();
        assert_eq!(budget.read(&bulk(bound + 1)), Ok(()));
        // The next reply has no request.
        assert_eq!(budget.read(b"$1048577\r\n"), Err(Exceeded));
        assert_eq!(read().read(b"$1048577\r\n"), Ok(()));
        assert_eq!(read().read(b"$1114200\r\n"), Err(Exceeded));
        assert_eq!(read().read(b"$1099511627776\r\n"), Err(Exceeded));
    }

    #[test]
    fn replies_are_matched_to_their_requests_in_order() {
        let bound = 1 << 20;
        let commands = [redis::cmd("PING"), range("k", bound), redis::cmd("PING")];
        let mut budget = asked(&commands);
        for reply in [b"+PONG\r\n".to_vec(), PUSH.to_vec(), bulk(bound), PUSH.to_vec()] {
            assert_eq!(budget.read(&reply), Ok(()));
        }
        assert_eq!(budget.read(&bulk(bound)), Err(Exceeded), "the reply to PING");
    }

    #[test]
    fn an_array_costs_what_its_elements_allocate() {
        let read = || asked(&[range("k", 0)]);
        assert_eq!(read().read(b"*1000000000\r\n"), Err(Exceeded));
        assert_eq!(read().read(b"*1000\r\n"), Ok(()));
        assert_eq!(read().read(&b"*1000\r\n".repeat(2)), Err(Exceeded));
        assert_eq!(read().read(b"%1000\r\n"), Err(Exceeded));
        assert_eq!(read().read(b">2\r\n+invalidate\r\n*2000\r\n"), Err(Exceeded));
        let empty = [b"*500\r\n".to_vec(), b"*0\r\n".repeat(500)].concat();
        assert_eq!(read().read(&empty), Err(Exceeded));
    }

    #[test]
    fn replies_without_a_request_have_an_end() {
        assert_eq!(Budget::default().read(&b"+OK\r\n".repeat(20_000)), Err(Exceeded));
    }

    #[test]
    fn there_are_as_many_pushes_as_registrations_and_a_few_more() {
        let registered = 100_000;
        let mut command = redis::cmd("CLIENT");
        command.arg("CACHING").arg("YES");
        let mut budget = asked(&vec![command; registered]);
        assert_eq!(budget.read(&b"+OK\r\n".repeat(registered)), Ok(()));
        assert_eq!(budget.read(&PUSH.repeat(registered)), Ok(()));
        assert_eq!(Budget::default().read(&PUSH.repeat(1000)), Ok(()));
        assert_eq!(Budget::default().read(&PUSH.repeat(5000)), Err(Exceeded));
    }

    #[test]
    fn the_bytes_of_pushes_are_counted() {
        let mut budget = asked(&[redis::cmd("PING")]);
        let bytes = [PUSH, b"+PONG\r\n", PUSH].concat();
        bytes
            .chunks(7)
            .for_each(|piece| assert_eq!(budget.read(piece), Ok(())));
        assert_eq!(budget.pushed(), 2 * PUSH.len() as u64);
    }

    #[test]
    fn a_line_without_an_end_is_refused() {
        // Also if the request allows a long value.
        for command in [redis::cmd("PING"), range("k", 1 << 20)] {
            let mut budget = asked(&[command]);
            assert_eq!(budget.read(b"+"), Ok(()));
            assert_eq!(budget.read(&[b'x'; 60_000]), Ok(()));
            assert_eq!(budget.read(&[b'x'; 60_000]), Err(Exceeded));
        }
    }
}
