//! The real py-dspinlock as a peer that is driven by lines; `python/peer.py` has the protocol.

use dspinlock_testkit::{ChildProcess, Python, Redis};

const PEER: &str = include_str!("python/peer.py");

pub(crate) fn peer(server: &Redis) -> ChildProcess {
    Python::start(PEER, &[&server.port().to_string()])
}

/// A peer whose wall clock is shifted, for example by `+1h`.
pub(crate) fn peer_with_clock(by: &str, server: &Redis) -> ChildProcess {
    Python::with_clock(by, PEER, &[&server.port().to_string()])
}
