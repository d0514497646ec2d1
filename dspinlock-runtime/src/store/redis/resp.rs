//! The version of RESP that the connections of a pool use: RESP3 unless the server refuses `HELLO`.
//!
//! The URL may set it, and `login` learns it. It does no I/O.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// How a connection talks to its server. The order is that of the attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resp {
    /// With pushes.
    V3,
    /// The server refuses `HELLO`, or the URL has `protocol=2`. There are no pushes.
    V2,
    /// As `V2`, and the proxy closes a connection that sends `CLIENT`. Only the steps and the login are sent.
    V2Bare,
}

impl Resp {
    pub(crate) fn has_pushes(self) -> bool {
        self == Self::V3
    }

    /// Whether a new connection may send commands that only prepare it.
    pub(crate) fn has_setup(self) -> bool {
        self != Self::V2Bare
    }
}

/// Why another version is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The server does not know the command.
    Reply,
    /// The connection was closed. The server may have been stopped at this moment.
    Closed,
}

/// The version of the connections of one pool. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct SharedResp(Arc<State>);

#[derive(Debug)]
struct State {
    /// Set by the URL.
    fixed: Option<Resp>,
    /// The index of the version in [`ORDER`].
    version: AtomicU8,
    /// How many connections needed a later version because an earlier one was closed.
    closed: AtomicU8,
    /// A connection with RESP3 was opened.
    accepted: AtomicBool,
    warned: AtomicBool,
}

const ORDER: [Resp; 3] = [Resp::V3, Resp::V2, Resp::V2Bare];

/// After so many connections, a closed one is not an accident.
const CLOSED_OFTEN: u8 = 2;

impl SharedResp {
    pub(crate) fn new(fixed: Option<Resp>) -> Self {
        Self(Arc::new(State {
            fixed,
            version: AtomicU8::new(fixed.map_or(0, |version| version as u8)),
            closed: AtomicU8::new(0),
            accepted: AtomicBool::new(false),
            warned: AtomicBool::new(false),
        }))
    }

    /// The version that a new connection tries first.
    pub(crate) fn version(&self) -> Resp {
        ORDER[usize::from(self.0.version.load(Ordering::Relaxed))]
    }

    /// The version to try after `version` was refused. If the server has accepted RESP3 before, a closed connection
    /// means that it is away.
    pub(crate) fn after(&self, version: Resp, refusal: Refusal) -> Option<Resp> {
        let is_away = refusal == Refusal::Closed && self.0.accepted.load(Ordering::Relaxed);
        let is_fixed = version == Resp::V3 && self.0.fixed.is_some();
        let next = ORDER.get(version as usize + 1).copied();
        next.filter(|_| !is_away && !is_fixed)
    }

    /// Remembers the version of a new connection, and why it is not the first one that was tried.
    pub(crate) fn opened(&self, version: Resp, refusal: Option<Refusal>) {
        if version == Resp::V3 {
            self.0.accepted.store(true, Ordering::Relaxed);
        }
        let is_certain = match refusal {
            None => false,
            Some(Refusal::Reply) => true,
            Some(Refusal::Closed) => self.0.closed.fetch_add(1, Ordering::Relaxed) + 1 >= CLOSED_OFTEN,
        };
        if is_certain {
            self.0.version.store(version as u8, Ordering::Relaxed);
        }
    }

    /// Whether to warn that there are no pushes. True once, and never if the URL has `protocol=2`.
    pub(crate) fn take_warning(&self) -> bool {
        self.0.fixed.is_none() && !self.0.warned.swap(true, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_hello_is_remembered() {
        let resp = SharedResp::new(None);
        assert_eq!(resp.after(Resp::V3, Refusal::Reply), Some(Resp::V2));
        resp.opened(Resp::V2, Some(Refusal::Reply));
        assert_eq!(resp.clone().version(), Resp::V2);
        assert!(resp.take_warning() && !resp.take_warning());
    }

    #[test]
    fn one_closed_connection_may_be_an_accident() {
        let resp = SharedResp::new(None);
        resp.opened(Resp::V2Bare, Some(Refusal::Closed));
        assert_eq!(resp.version(), Resp::V3);
        resp.opened(Resp::V2Bare, Some(Refusal::Closed));
        assert_eq!(resp.version(), Resp::V2Bare);
        assert_eq!(resp.after(Resp::V2Bare, Refusal::Closed), None);
    }

    #[test]
    fn a_server_that_has_accepted_hello_is_away_if_it_closes_a_connection() {
        let resp = SharedResp::new(None);
        resp.opened(Resp::V3, None);
        assert_eq!(resp.after(Resp::V3, Refusal::Closed), None);
        assert_eq!(resp.after(Resp::V3, Refusal::Reply), Some(Resp::V2));
    }

    #[test]
    fn the_version_of_a_url_stays() {
        let three = SharedResp::new(Some(Resp::V3));
        assert_eq!(three.after(Resp::V3, Refusal::Reply), None);
        let two = SharedResp::new(Some(Resp::V2));
        assert_eq!(two.version(), Resp::V2);
        assert!(!two.take_warning());
    }
}
