//! The byte stream to a server: TCP, TLS, or a unix socket. It counts the bytes of both directions, and ends the connection if
//! the server sends more than it was asked for.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::budget::Budget;
use super::dial;
use super::scanner::Exceeded;
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
    peer: Option<SocketAddr>,
    traffic: Arc<Traffic>,
    budget: Budget,
}

impl CountingStream {
    /// Opens a stream on the current runtime.
    pub(crate) async fn open(address: &Address, traffic: Arc<Traffic>) -> Result<Self, String> {
        let (stream, peer) = open(address).await?;
        let budget = Budget::default();
        Ok(Self {
            stream,
            peer,
            traffic,
            budget,
        })
    }

    /// The address of the server; `None` for a unix socket.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.peer
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

/// The stream, and the address of the peer of a TCP stream.
async fn open(address: &Address) -> Result<(Box<dyn Stream>, Option<SocketAddr>), String> {
    match &address.place {
        Place::Tcp { host, port } => {
            let stream = match address.peer {
                Some(peer) => dial::one(peer).await?,
                None => dial::tcp(host, *port).await?,
            };
            let peer = stream.peer_addr().ok();
            #[cfg(feature = "tls")]
            if let Some(tls) = &address.tls {
                return Ok((Box::new(tls.wrap(host, stream).await?), peer));
            }
            Ok((Box::new(stream), peer))
        }
        Place::Unix(path) => Ok((Box::new(dial::unix(path).await?), None)),
    }
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
