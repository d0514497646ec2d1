//! The byte stream to a server: TCP with `TCP_NODELAY`, TLS, or a unix socket. It counts the bytes of both directions, and
//! ends the connection if the server sends more than it was asked for.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::budget::Budget;
use super::resp::Exceeded;
use crate::store::redis::url::address::{Address, Place};

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// The bytes that a stream has moved.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) read: AtomicU64,
    pub(crate) written: AtomicU64,
}

/// An open stream that counts its bytes, and bounds those of the server.
pub(crate) struct CountingStream {
    stream: Box<dyn Stream>,
    traffic: Arc<Traffic>,
    budget: Budget,
}

impl CountingStream {
    /// Opens a stream on the current runtime.
    pub(crate) async fn open(address: &Address, traffic: Arc<Traffic>) -> Result<Self, String> {
        let stream = open(address).await?;
        let budget = Budget::default();
        Ok(Self {
            stream,
            traffic,
            budget,
        })
    }

    /// After a failed write, the error of the read side is the better one: a TLS server sends an alert before it closes.
    fn with_alert<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let Poll::Ready(Err(_)) = &written else {
            return written;
        };
        let mut byte = [0];
        match Pin::new(&mut self.stream).poll_read(context, &mut ReadBuf::new(&mut byte)) {
            Poll::Ready(Err(alert)) => Poll::Ready(Err(alert)),
            _ => written,
        }
    }
}

async fn open(address: &Address) -> Result<Box<dyn Stream>, String> {
    match &address.place {
        Place::Tcp { host, port } => {
            let addresses = lookup(host, *port)
                .await
                .map_err(|error| format!("{error}: check the host name in the URL"))?;
            let stream = TcpStream::connect(&addresses[..]).await.map_err(reason)?;
            stream.set_nodelay(true).map_err(reason)?;
            #[cfg(feature = "tls")]
            if let Some(tls) = &address.tls {
                return Ok(Box::new(tls.wrap(host, stream).await?));
            }
            Ok(Box::new(stream))
        }
        #[cfg(unix)]
        Place::Unix(path) => Ok(Box::new(
            tokio::net::UnixStream::connect(path).await.map_err(reason)?,
        )),
        #[cfg(not(unix))]
        Place::Unix(_) => Err("this system has no unix sockets: use a host and a port".into()),
    }
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

impl AsyncRead for CountingStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let poll = Pin::new(&mut self.stream).poll_read(context, buffer);
        let received = &buffer.filled()[before..];
        self.traffic
            .read
            .fetch_add(received.len() as u64, Ordering::Relaxed);
        match self.budget.read(received) {
            Ok(()) => poll,
            Err(Exceeded) => {
                log::warn!(target: "dspinlock", "a connection was closed: the server sent more than it was asked for");
                Poll::Ready(Err(io::ErrorKind::InvalidData.into()))
            }
        }
    }
}

impl AsyncWrite for CountingStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        if let Poll::Ready(Ok(count)) = &written {
            self.traffic.written.fetch_add(*count as u64, Ordering::Relaxed);
            self.budget.write(&bytes[..*count]);
        }
        self.with_alert(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.with_alert(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
