//! Ports for servers.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{TcpListener, UdpSocket};

/// A TCP port that no other test, of whatever process, takes while this lives.
///
/// It is held as the UDP port of the same number, which no server of ours binds and the system frees with the process.
#[derive(Debug)]
pub(crate) struct Port {
    number: u16,
    _held: UdpSocket,
}

impl Port {
    /// One that is free. It is below those that the system gives to connections, so that none of the many that tests
    /// make takes it.
    pub(crate) fn hold() -> Self {
        loop {
            let random = RandomState::new().build_hasher().finish();
            let number = 12_000 + (random % 20_000) as u16;
            let Ok(held) = UdpSocket::bind(("127.0.0.1", number)) else {
                continue;
            };
            if TcpListener::bind(("127.0.0.1", number)).is_ok() {
                return Self { number, _held: held };
            }
        }
    }

    /// Its number.
    pub(crate) fn number(&self) -> u16 {
        self.number
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_port_is_held_twice() {
        // So many of 20,000 that chance alone would give some twice.
        let ports: Vec<Port> = (0..800).map(|_| Port::hold()).collect();
        let numbers: HashSet<u16> = ports.iter().map(Port::number).collect();
        assert_eq!(numbers.len(), ports.len());
    }

    #[test]
    fn a_server_can_have_a_port_that_is_held() {
        let port = Port::hold();
        TcpListener::bind(("127.0.0.1", port.number())).unwrap();
    }
}
