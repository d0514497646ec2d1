//! The byte stream to a server: TCP, TLS, or a unix socket. [`CountingStream`] also counts the bytes of both directions, and
//! ends the connection if the server sends more than it was asked for. `reader` uses the [`Stream`] alone.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
#[cfg(feature = "tls")]
use tokio_rustls::client::TlsStream;

use super::budget::Budget;
use super::dial;
use super::scanner::Exceeded;
use crate::store::redis::socket::SharedSocket;
#[cfg(feature = "tls")]
use crate::store::redis::socket::SingleBuffer;
use crate::store::redis::url::address::{Address, Place};

pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Io for S {}

/// An open stream, on the runtime that opened it.
pub(crate) enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
    #[cfg(feature = "tls")]
    Tls(Box<TlsStream<SingleBuffer>>),
}

impl Stream {
    pub(crate) async fn open(address: &Address) -> Result<Self, String> {
        match &address.place {
            Place::Tcp { host, port } => {
                let stream = match address.peer {
                    Some(peer) => dial::one(peer).await?,
                    None => dial::tcp(host, *port).await?,
                };
                #[cfg(feature = "tls")]
                if let Some(tls) = &address.tls {
                    return Ok(Self::Tls(tls.wrap(host, stream).await?.into()));
                }
                Ok(Self::Tcp(stream))
            }
            #[cfg(unix)]
            Place::Unix(path) => Ok(Self::Unix(dial::unix(path).await?)),
            #[cfg(not(unix))]
            Place::Unix(_) => Err("this system has no unix sockets: use a host and a port".into()),
        }
    }

    pub(crate) fn io(&mut self) -> Pin<&mut dyn Io> {
        match self {
            Self::Tcp(stream) => Pin::new(stream),
            #[cfg(unix)]
            Self::Unix(stream) => Pin::new(stream),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Pin::new(stream),
        }
    }

    /// A second handle of the socket.
    pub(crate) fn socket(&self) -> io::Result<SharedSocket> {
        let socket = match self {
            Self::Tcp(stream) => SockRef::from(stream),
            #[cfg(unix)]
            Self::Unix(stream) => SockRef::from(stream),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => SockRef::from(&stream.get_ref().0.0),
        };
        Ok(SharedSocket::new(socket.try_clone()?))
    }

    /// Whether bytes may be written to the socket: there is no TLS.
    pub(crate) fn is_plain(&self) -> bool {
        #[cfg(feature = "tls")]
        if let Self::Tls(_) = self {
            return false;
        }
        true
    }

    /// Whether bytes have arrived at the socket. If not, their arrival wakes the caller.
    fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(context),
            #[cfg(unix)]
            Self::Unix(stream) => stream.poll_read_ready(context),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.get_ref().0.0.poll_read_ready(context),
        }
    }

    /// The address of the server; `None` for a unix socket.
    fn peer(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.peer_addr().ok(),
            #[cfg(unix)]
            Self::Unix(_) => None,
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.get_ref().0.0.peer_addr().ok(),
        }
    }
}

/// The bytes that a stream has moved.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) read: AtomicU64,
    /// The part of `read` that belongs to pushes.
    pub(crate) pushed: AtomicU64,
    pub(crate) written: AtomicU64,
    /// A caller makes the turn that runs now.
    writes_only: AtomicBool,
}

impl Traffic {
    /// The turn that begins reads nothing, or the next one may read again. One thread makes a turn at a time.
    pub(crate) fn set_writes_only(&self, writes_only: bool) {
        self.writes_only.store(writes_only, Ordering::Relaxed);
    }
}

/// An open stream that counts its bytes, and bounds those of the server.
pub(crate) struct CountingStream {
    stream: Stream,
    traffic: Arc<Traffic>,
    budget: Budget,
}

impl CountingStream {
    /// Opens a stream on the current runtime.
    pub(crate) async fn open(address: &Address, traffic: Arc<Traffic>) -> Result<Self, String> {
        Ok(Self {
            stream: Stream::open(address).await?,
            traffic,
            budget: Budget::default(),
        })
    }

    /// The address of the server; `None` for a unix socket.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.stream.peer()
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
        if self.traffic.writes_only.load(Ordering::Relaxed) {
            // The next turn of the task gets the error again, and ends the connection.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut byte = [0];
        match self.stream.io().poll_read(context, &mut ReadBuf::new(&mut byte)) {
            Poll::Ready(Err(alert)) => Poll::Ready(Err(alert)),
            _ => written,
        }
    }
}

impl AsyncRead for CountingStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.traffic.writes_only.load(Ordering::Relaxed) {
            if self.stream.poll_read_ready(context).is_ready() {
                context.waker().wake_by_ref();
            }
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let poll = self.stream.io().poll_read(context, buffer);
        let received = &buffer.filled()[before..];
        self.traffic
            .read
            .fetch_add(received.len() as u64, Ordering::Relaxed);
        let checked = self.budget.read(received);
        self.traffic.pushed.store(self.budget.pushed(), Ordering::Relaxed);
        match checked {
            Ok(()) => poll,
            Err(Exceeded) => {
                tracing::warn!(target: "dspinlock", "a connection was closed: the server sent more than it was asked for");
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
        let written = self.stream.io().poll_write(context, bytes);
        if let Poll::Ready(Ok(count)) = &written {
            self.traffic.written.fetch_add(*count as u64, Ordering::Relaxed);
            self.budget.write(&bytes[..*count]);
        }
        self.with_alert(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.stream.io().poll_flush(context);
        self.with_alert(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.io().poll_shutdown(context)
    }
}
