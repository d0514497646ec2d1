//! TCP ports for servers.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{TcpListener, UdpSocket};

/// A TCP port that no other test takes, in any process, until this is dropped.
///
/// The UDP port of the same number is bound as a reservation. No server binds it, and the system frees it when the process
/// exits.
#[derive(Debug)]
pub(crate) struct Port {
    number: u16,
    _reservation: UdpSocket,
}

impl Port {
    /// Reserves a free port. It is below the ephemeral ports, so that no outgoing connection of a test takes it.
    pub(crate) fn reserve() -> Self {
        loop {
            let random = RandomState::new().build_hasher().finish();
            let number = 12_000 + (random % 20_000) as u16;
            let Ok(reservation) = UdpSocket::bind(("127.0.0.1", number)) else {
                continue;
            };
            if TcpListener::bind(("127.0.0.1", number)).is_ok() {
                return Self {
                    number,
                    _reservation: reservation,
                };
            }
        }
    }

    /// The port number.
    pub(crate) fn number(&self) -> u16 {
        self.number
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_port_is_reserved_twice() {
        // With 800 of 20,000 ports, chance alone would give some twice.
        let ports: Vec<Port> = (0..800).map(|_| Port::reserve()).collect();
        let numbers: HashSet<u16> = ports.iter().map(Port::number).collect();
        assert_eq!(numbers.len(), ports.len());
    }

    #[test]
    fn a_server_can_bind_a_reserved_port() {
        let port = Port::reserve();
        TcpListener::bind(("127.0.0.1", port.number())).unwrap();
    }
}
