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
#[cfg_attr(not(feature = "tls"), expect(dead_code))]
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
