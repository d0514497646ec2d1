//! The byte stream to a server: TCP without delay, a unix socket, or TLS; it counts what is read.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::store::redis::url::address::{Address, Place};

/// What every stream can do.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// An open stream.
pub(in crate::store::redis) struct Counted {
    stream: Box<dyn Stream>,
    read: Arc<AtomicU64>,
}

impl Counted {
    /// Opens a stream on the current runtime; `read` counts its bytes.
    pub(in crate::store::redis) async fn open(
        address: &Address,
        read: Arc<AtomicU64>,
    ) -> Result<Self, String> {
        let stream = open(address).await?;
        Ok(Self { stream, read })
    }

    /// Who cannot write any more may have been told why: a TLS server says what it does not like before it closes.
    fn explained<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<std::io::Result<T>>,
    ) -> Poll<std::io::Result<T>> {
        let Poll::Ready(Err(_)) = &written else {
            return written;
        };
        let mut byte = [0];
        match Pin::new(&mut self.stream).poll_read(context, &mut ReadBuf::new(&mut byte)) {
            Poll::Ready(Err(told)) => Poll::Ready(Err(told)),
            _ => written,
        }
    }
}

async fn open(address: &Address) -> Result<Box<dyn Stream>, String> {
    let failed = |error: std::io::Error| error.to_string();
    match &address.place {
        Place::Tcp { host, port } => {
            let addresses = lookup(host, *port).await.map_err(failed)?;
            let stream = TcpStream::connect(&addresses[..]).await.map_err(failed)?;
            stream.set_nodelay(true).map_err(failed)?;
            #[cfg(feature = "tls")]
            if let Some(tls) = &address.tls {
                return Ok(Box::new(tls.wrap(host, stream).await?));
            }
            Ok(Box::new(stream))
        }
        #[cfg(unix)]
        Place::Unix(path) => Ok(Box::new(
            tokio::net::UnixStream::connect(path).await.map_err(failed)?,
        )),
        #[cfg(feature = "sentinel")]
        Place::Sentinels(_) => unreachable!("the sentinels were asked before"),
        #[cfg(not(unix))]
        Place::Unix(_) => Err("unix sockets are not available on this system".into()),
    }
}

/// The addresses of a host, looked up on a thread of its own: tokio's threads for blocking work may all be callers that
/// wait for this very connection, and tokio panics where it can start none.
async fn lookup(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![(address, port).into()]);
    }
    let (found, answer) = oneshot::channel();
    let host = host.to_owned();
    std::thread::Builder::new()
        .name("dspinlock-lookup".into())
        .spawn(move || {
            let addresses = (host.as_str(), port).to_socket_addrs();
            // Nobody listens where it took too long.
            let _ = found.send(addresses.map(Vec::from_iter));
        })?;
    answer
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let poll = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.read
            .fetch_add((buffer.filled().len() - before) as u64, Ordering::Relaxed);
        poll
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.explained(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.explained(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
