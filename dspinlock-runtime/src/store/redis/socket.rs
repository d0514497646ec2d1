//! Writes to sockets without SIGPIPE. A command-line tool may restore the default action of that signal, and then a server
//! that closes a connection would end the process.
//!
//! The standard library writes one buffer so, but several buffers with `writev`, which has no such flag.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Apple's systems have an option of the socket instead, which the standard library and mio set.
#[cfg(all(unix, not(target_vendor = "apple")))]
const NO_SIGNAL: i32 = libc::MSG_NOSIGNAL;
#[cfg(not(all(unix, not(target_vendor = "apple"))))]
const NO_SIGNAL: i32 = 0;

/// A handle of a TCP or unix socket that needs no runtime. Clones share it.
#[derive(Clone)]
pub(crate) struct SharedSocket(Arc<socket2::Socket>);

impl SharedSocket {
    pub(crate) fn new(socket: impl Into<socket2::Socket>) -> Self {
        Self(Arc::new(socket.into()))
    }

    pub(crate) fn raw(&self) -> &socket2::Socket {
        &self.0
    }

    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send_with_flags(bytes, NO_SIGNAL)
    }

    pub(crate) fn shut_down(&self) {
        // An error means that the connection has ended.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

impl Read for SharedSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(buffer)
    }
}

impl Write for SharedSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A TCP stream that writes one buffer at a time.
#[cfg_attr(not(feature = "tls"), allow(dead_code))]
pub(crate) struct SingleBuffer(pub(crate) TcpStream);

impl AsyncRead for SingleBuffer {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for SingleBuffer {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::io::IoSlice;
    use std::time::Duration;

    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;
    use tokio::signal::unix::{SignalKind, signal};

    use super::*;

    #[tokio::test]
    async fn writes_to_a_closed_connection_raise_no_signal() {
        let mut signals = signal(SignalKind::pipe()).expect("a handler");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let stream = TcpStream::connect(listener.local_addr().expect("a bound address"));
        let mut stream = SingleBuffer(stream.await.expect("a connection"));
        drop(listener);
        let parts = [IoSlice::new(b"one"), IoSlice::new(b"two")];
        let error = loop {
            match stream.write_vectored(&parts).await {
                Ok(_) => tokio::time::sleep(Duration::from_millis(1)).await,
                Err(error) => break error,
            }
        };
        let second = stream.write_vectored(&parts).await.expect_err("the end");
        assert!([error.kind(), second.kind()].contains(&io::ErrorKind::BrokenPipe));
        let socket = stream.0.into_std().expect("a socket");
        let sent = SharedSocket::new(socket).write(b"three").expect_err("the end");
        assert_eq!(sent.kind(), io::ErrorKind::BrokenPipe);
        let signal = tokio::time::timeout(Duration::from_millis(100), signals.recv()).await;
        assert!(signal.is_err(), "SIGPIPE");
    }
}
