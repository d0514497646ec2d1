//! Opens the connection of a reader on the current runtime, and logs in. `async_reader` and `sync_reader` call it.
//!
//! A reader leads to the address that its group is connected to, so no name is looked up here.

use std::io;
use std::sync::OnceLock;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::frame::Frames;
use super::login::{Login, Server};
use crate::rt::background;
use crate::store::redis::client_name::Purpose;
use crate::store::redis::connection::transport::Stream;
use crate::store::redis::socket::SharedSocket;
use crate::store::redis::timeouts::Timeouts;
use crate::store::redis::url::address::Address;

/// Where readers connect to, and how.
pub(crate) struct Endpoint {
    /// The address of the group, pinned to its peer.
    pub(crate) address: Address,
    /// The server process of the group, as soon as it is known.
    pub(crate) server: OnceLock<Server>,
    pub(crate) timeouts: Timeouts,
}

/// A connection after its login.
pub(crate) struct Connection {
    pub(crate) stream: Stream,
    pub(crate) socket: Socket,
    pub(crate) frames: Frames,
    /// It leads to the server process of the group.
    pub(crate) is_checked: bool,
}

/// A second handle of the socket, which needs no runtime.
pub(crate) struct Socket {
    pub(crate) shared: SharedSocket,
    /// Whether requests may be written to the socket: there is no TLS.
    is_plain: bool,
}

impl Endpoint {
    /// Connects and logs in within the time limit. A failure has no reason: the background serves the reads, and reports.
    pub(crate) async fn connect(&self) -> Option<Connection> {
        tokio::select! {
            biased;
            connection = self.open() => connection.ok(),
            // The runtime may have no timers.
            () = background::sleep(self.timeouts.connect) => None,
        }
    }

    /// Whether readers may use a connection: the identity of the group was not learnt since the connection was opened.
    pub(crate) fn accepts(&self, is_checked: bool) -> bool {
        is_checked || self.server.get().is_none()
    }

    async fn open(&self) -> io::Result<Connection> {
        let login = self.address.current_login().map_err(io::Error::other)?;
        let mut stream = Stream::open(&self.address).await.map_err(io::Error::other)?;
        let socket = Socket {
            shared: stream.socket()?,
            is_plain: stream.is_plain(),
        };
        let server = self.server.get().cloned();
        let is_checked = server.is_some();
        let name = self.address.name_for(Purpose::Reader);
        let (mut login, packet) = Login::new(&login, &name, server.unwrap_or_default());
        let mut io = stream.io();
        io.write_all(&packet).await?;
        io.flush().await?;
        let mut frames = Frames::new();
        while let Some(due) = login.due() {
            match frames.next(due).map_err(|_| io::ErrorKind::InvalidData)? {
                Some(reply) => login.judge(&reply).map_err(|_| io::ErrorKind::InvalidData)?,
                None => {
                    let count = io.read(frames.space()).await?;
                    frames.add(count);
                    if count == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
            }
        }
        Ok(Connection {
            stream,
            socket,
            frames,
            is_checked,
        })
    }
}

impl Socket {
    /// Writes what the socket accepts at once. The rest stays in `bytes` for the driver, which also meets the error.
    /// Returns whether nothing is left.
    pub(crate) fn write(&self, bytes: &mut Vec<u8>) -> bool {
        if self.is_plain {
            let written = self.shared.send(bytes).unwrap_or(0);
            bytes.drain(..written);
        }
        bytes.is_empty()
    }
}
