//! Opens a socket: looks up the name of a host and connects, or connects to a unix socket.
//!
//! `transport` calls it, inside the time limit of the attempt to connect.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
#[cfg(unix)]
use std::path::Path;

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::rt::background;

/// How long an attempt may take before the next address is tried too (RFC 8305, section 5).
const STAGGER: Duration = Duration::from_millis(250);

/// Connects to a host, with `TCP_NODELAY`.
pub(super) async fn tcp(host: &str, port: u16) -> Result<TcpStream, String> {
    let addresses = lookup(host, port)
        .await
        .map_err(|error| format!("{error}: check the host name in the URL"))?;
    any(&addresses).await.map_err(reason)
}

/// Connects to one address, with `TCP_NODELAY`.
pub(super) async fn one(address: SocketAddr) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(address).await.map_err(reason)?;
    stream.set_nodelay(true).map_err(reason)?;
    Ok(stream)
}

/// Connects to the first address that accepts (RFC 8305). The next attempt starts when the last one fails, or after
/// [`STAGGER`]. The other attempts are dropped.
async fn any(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut waiting = interleave(addresses).into_iter();
    let mut attempts = JoinSet::new();
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    loop {
        if let Some(address) = waiting.next() {
            attempts.spawn(TcpStream::connect(address));
        }
        tokio::select! {
            biased;
            attempt = attempts.join_next() => match attempt {
                Some(Ok(Ok(stream))) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Some(Ok(Err(error))) => failure = error,
                Some(Err(_)) => {}
                None => return Err(failure),
            },
            () = background::sleep(STAGGER), if waiting.len() > 0 => {}
        }
    }
}

/// The families in turn, beginning with the family of the first address.
fn interleave(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses
        .iter()
        .copied()
        .partition(|address| address.is_ipv6() == is_v6);
    let mut second = second.into_iter();
    let mut order: Vec<_> = first
        .into_iter()
        .flat_map(|address| [Some(address), second.next()])
        .flatten()
        .collect();
    order.extend(second);
    order
}

/// Connects to a unix socket.
#[cfg(unix)]
pub(super) async fn unix(path: &Path) -> Result<tokio::net::UnixStream, String> {
    tokio::net::UnixStream::connect(path).await.map_err(reason)
}

fn reason(error: io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            "connection refused: check the address, and that the server is running".into()
        }
        io::ErrorKind::NotFound => "there is no socket with this path: check the URL".into(),
        io::ErrorKind::PermissionDenied => {
            "permission denied: check the mode of the socket, or the firewall".into()
        }
        _ => error.to_string(),
    }
}

/// Looks up a host name on a separate thread. All threads of tokio's blocking pool may be waiting for this connection, and
/// tokio panics if it cannot start another one.
async fn lookup(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![(address, port).into()]);
    }
    let (sender, receiver) = oneshot::channel();
    let host = host.to_owned();
    std::thread::Builder::new()
        .name("dspinlock-lookup".into())
        .spawn(move || {
            let addresses = (host.as_str(), port).to_socket_addrs();
            // The receiver is gone if the attempt timed out.
            let _ = sender.send(addresses.map(Vec::from_iter));
        })?;
    receiver
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))
}

#[cfg(test)]
mod tests {
    use crate::rt::clock::Instant;

    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    /// An address that answers no attempt to connect, because the queue of its listener is full.
    async fn black_hole() -> (SocketAddr, impl Sized) {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(address("127.0.0.1:0")).expect("a free port");
        let listener = socket.listen(0).expect("a listener");
        let address = listener.local_addr().expect("a bound address");
        let mut queue = Vec::new();
        while let Ok(stream) = tokio::time::timeout(STAGGER, TcpStream::connect(address)).await {
            queue.push(stream);
        }
        (address, (listener, queue))
    }

    #[tokio::test]
    async fn an_address_that_does_not_answer_delays_the_next_one_by_the_stagger_only() {
        background::start().expect("the background thread");
        let (hole, _full) = black_hole().await;
        let server = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let good = server.local_addr().expect("a bound address");
        let start = Instant::now();
        let stream = any(&[hole, good]).await.expect("a connection");
        let elapsed = start.elapsed();
        assert_eq!(stream.peer_addr().expect("a peer"), good);
        assert!(
            elapsed >= STAGGER && elapsed <= Duration::from_millis(600),
            "{elapsed:?}"
        );
    }

    #[tokio::test]
    async fn an_address_that_refuses_delays_nothing() {
        background::start().expect("the background thread");
        let closed = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let refusing = closed.local_addr().expect("a bound address");
        drop(closed);
        let server = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let good = server.local_addr().expect("a bound address");
        let start = Instant::now();
        assert!(any(&[refusing, refusing, good]).await.is_ok());
        assert!(start.elapsed() < STAGGER, "{:?}", start.elapsed());
        let refused = any(&[refusing, refusing]).await.expect_err("no server");
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn the_families_take_turns() {
        let order = interleave(&["[::1]:1", "[::1]:2", "[::1]:3", "127.0.0.1:4"].map(address));
        assert_eq!(
            order,
            ["[::1]:1", "127.0.0.1:4", "[::1]:2", "[::1]:3"].map(address)
        );
        assert!(interleave(&[]).is_empty());
    }
}
