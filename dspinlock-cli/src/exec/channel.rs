//! The messages between `exec` and its guard, over a socket.
//!
//! `job` and `guard` use it. If one of the two processes ends, the other reads the end of the stream.

use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net;
use std::time::Duration;

use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use rustix::time::{ClockId, clock_gettime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// A message of either process. Processes and signals have their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message {
    /// To the guard: the lease ends at this [`now`], unless another deadline follows.
    Deadline(i64),
    /// To the guard: send this signal to the command's group.
    Signal(i32),
    /// To the guard: end the command's group.
    End,
    /// To `exec`: the command runs in a process group with this id.
    Started(i32),
    /// To `exec`: this signal has stopped the command.
    Stopped(i32),
    /// To `exec`: the guard ends the command's group, because the lease ends.
    Expiring,
    /// To `exec`: the command's group has ended, the command with this exit code.
    Exited(i32),
    /// To `exec`: this signal has ended the command, and its group has ended.
    Killed(i32),
    /// To `exec`: the command cannot be started, because of this error of the system.
    NotStarted(i32),
}

/// One end of the socket.
#[derive(Debug)]
pub(super) struct Channel {
    stream: UnixStream,
    /// The first bytes of a message, if its read was cancelled.
    partial: Vec<u8>,
}

/// The bytes of a message: its kind, and a number.
const SIZE: usize = 9;

impl Channel {
    pub(super) fn new(stream: net::UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream: UnixStream::from_std(stream)?,
            partial: Vec::with_capacity(SIZE),
        })
    }

    pub(super) async fn send(&mut self, message: Message) -> io::Result<()> {
        self.stream.write_all(&encode(message)).await
    }

    /// The next message, or `None` if the other process has ended. A dropped future loses nothing.
    pub(super) async fn receive(&mut self) -> Option<Message> {
        while self.partial.len() < SIZE {
            let mut buffer = [0; SIZE];
            let missing = SIZE - self.partial.len();
            match self.stream.read(&mut buffer[..missing]).await {
                Ok(0) => return None,
                Ok(read) => self.partial.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
        let message = decode(&self.partial);
        self.partial.clear();
        message
    }
}

fn encode(message: Message) -> [u8; SIZE] {
    let (kind, number) = match message {
        Message::Deadline(at) => (0, at),
        Message::Signal(signal) => (1, signal.into()),
        Message::End => (2, 0),
        Message::Started(group) => (3, group.into()),
        Message::Stopped(signal) => (4, signal.into()),
        Message::Expiring => (5, 0),
        Message::Exited(code) => (6, code.into()),
        Message::Killed(signal) => (7, signal.into()),
        Message::NotStarted(error) => (8, error.into()),
    };
    let mut bytes = [kind; SIZE];
    bytes[1..].copy_from_slice(&i64::to_ne_bytes(number));
    bytes
}

fn decode(bytes: &[u8]) -> Option<Message> {
    let (&kind, number) = bytes.split_first()?;
    let number = i64::from_ne_bytes(number.try_into().ok()?);
    let small = i32::try_from(number);
    Some(match kind {
        0 => Message::Deadline(number),
        1 => Message::Signal(small.ok()?),
        2 => Message::End,
        3 => Message::Started(small.ok()?),
        4 => Message::Stopped(small.ok()?),
        5 => Message::Expiring,
        6 => Message::Exited(small.ok()?),
        7 => Message::Killed(small.ok()?),
        8 => Message::NotStarted(small.ok()?),
        _ => return None,
    })
}

/// Sends the standard input, output and error of the command. A command line cannot name them: the guard has its own.
pub(super) fn send_stdio(socket: &net::UnixStream, stdio: [BorrowedFd<'_>; 3]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(3))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&stdio));
    sendmsg(socket, &[IoSlice::new(&[0])], &mut control, SendFlags::empty())?;
    Ok(())
}

/// Receives what [`send_stdio`] sends. It blocks.
pub(super) fn receive_stdio(socket: &net::UnixStream) -> io::Result<[OwnedFd; 3]> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(3))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    // Apple's systems set the flag afterwards. The guard has one thread, which starts no program in between.
    #[cfg(not(target_vendor = "apple"))]
    let flags = RecvFlags::CMSG_CLOEXEC;
    #[cfg(target_vendor = "apple")]
    let flags = RecvFlags::empty();
    recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut control, flags)?;
    let received: Vec<OwnedFd> = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        })
        .flatten()
        .collect();
    #[cfg(target_vendor = "apple")]
    for descriptor in &received {
        rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::CLOEXEC)?;
    }
    let count = received.len();
    received
        .try_into()
        .map_err(|_| io::Error::other(format!("received {count} descriptors instead of 3")))
}

/// The time in milliseconds that both processes read. On Linux it includes the time of a suspended machine.
pub(super) fn now() -> i64 {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let clock = ClockId::Boottime;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let clock = ClockId::Monotonic;
    let now = clock_gettime(clock);
    now.tv_sec * 1000 + now.tv_nsec / 1_000_000
}

/// The [`now`] after this time.
pub(super) fn after(time: Duration) -> i64 {
    now().saturating_add(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
}
