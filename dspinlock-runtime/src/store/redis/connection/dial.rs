//! Opens a socket: looks up the name of a host and connects, or connects to a unix socket.
//!
//! `transport` calls it, inside the time limit of the attempt to connect.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::Path;

use tokio::net::TcpStream;
use tokio::sync::oneshot;

/// Connects to a host, with `TCP_NODELAY`.
pub(super) async fn tcp(host: &str, port: u16) -> Result<TcpStream, String> {
    let addresses = lookup(host, port)
        .await
        .map_err(|error| format!("{error}: check the host name in the URL"))?;
    let stream = TcpStream::connect(&addresses[..]).await.map_err(reason)?;
    stream.set_nodelay(true).map_err(reason)?;
    Ok(stream)
}

/// Connects to a unix socket.
#[cfg(unix)]
pub(super) async fn unix(path: &Path) -> Result<tokio::net::UnixStream, String> {
    tokio::net::UnixStream::connect(path).await.map_err(reason)
}

#[cfg(not(unix))]
pub(super) async fn unix(_: &Path) -> Result<TcpStream, String> {
    Err("this system has no unix sockets: use a host and a port".into())
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
