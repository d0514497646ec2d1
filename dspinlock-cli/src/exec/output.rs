//! The output of a command: passed through, recorded in the order of reading, and replayed. `job` and `exec` call it.

use std::fmt;
use std::io::{self, PipeReader, PipeWriter, Read};
use std::os::fd::AsFd;
use std::thread;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use tokio::sync::oneshot;

/// How much is read at once. A pipe holds as much by default.
const CHUNK: usize = 64 << 10;

/// How much is read after the command has ended. A daemon that it has started may keep the pipes open, and write on.
const MAX_REST: usize = 1 << 20;

/// What a command has written: the parts of standard output and standard error in the order in which they were read.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct Output(Vec<(Stream, ByteBuf)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Stream {
    Stdout,
    Stderr,
}

impl Output {
    /// Writes everything to standard output and standard error. If the future is dropped, the writes go on.
    pub(super) async fn replay(self) -> io::Result<()> {
        let (send, written) = oneshot::channel();
        thread::Builder::new()
            .name("dspinlock-output".into())
            .spawn(move || {
                let result = self.0.iter().try_for_each(|(stream, bytes)| stream.write(bytes));
                // Fails only if `exec` does not wait for the end of the writes.
                let _ = send.send(result);
            })?;
        written
            .await
            .unwrap_or_else(|_| Err(io::Error::other("the thread that writes the output has panicked")))
    }

    fn push(&mut self, stream: Stream, bytes: &[u8]) {
        match self.0.last_mut() {
            Some((last, part)) if *last == stream => part.extend_from_slice(bytes),
            _ => self.0.push((stream, ByteBuf::from(bytes))),
        }
    }
}

impl fmt::Debug for Output {
    /// Never prints what the command has written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Output({} parts)", self.0.len())
    }
}

impl Stream {
    /// Writes all bytes, without a lock or a buffer: the write may block forever, and `exec` must be able to end.
    fn write(self, mut bytes: &[u8]) -> io::Result<()> {
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let file = match self {
            Self::Stdout => stdout.as_fd(),
            Self::Stderr => stderr.as_fd(),
        };
        while !bytes.is_empty() {
            match rustix::io::write(file, bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => bytes = &bytes[written..],
                Err(Errno::INTR) => {}
                // Another program may have made the pipe or the terminal non-blocking.
                Err(Errno::AGAIN) => wait_for(&mut [PollFd::from_borrowed_fd(file, PollFlags::OUT)], None)?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// What became of the output.
#[derive(Debug)]
pub(super) enum Recorded {
    /// All of it.
    Whole(Output),
    /// It was larger than the limit.
    TooLarge,
    /// A reader of our own output had closed it, so the command could not write all of its output.
    Closed,
    /// Our own output could not be written for another reason, for example because a disk is full.
    NotWritten(io::Error),
}

/// The thread that reads the output. It is a thread because a reader of our own output may be slow, and `exec` must not wait
/// for it while the command runs.
#[derive(Debug)]
pub(super) struct Recorder {
    recorded: oneshot::Receiver<io::Result<Recorded>>,
    /// Tells the thread by its end that the command has ended.
    ended: PipeWriter,
}

impl Recorder {
    /// Starts to read. Returns the standard output and standard error for the command.
    pub(super) fn start(limit: usize) -> io::Result<(Self, PipeWriter, PipeWriter)> {
        let (stdout, write_stdout) = io::pipe()?;
        let (stderr, write_stderr) = io::pipe()?;
        let (until, ended) = io::pipe()?;
        let (send, recorded) = oneshot::channel();
        thread::Builder::new()
            .name("dspinlock-output".into())
            .spawn(move || {
                let pipes = [(Stream::Stdout, Some(stdout)), (Stream::Stderr, Some(stderr))];
                // Fails only if `exec` does not wait for the output.
                let _ = send.send(record(pipes, &until, limit));
            })?;
        Ok((Self { recorded, ended }, write_stdout, write_stderr))
    }

    /// Reads what the ended command has left in its pipes, and returns all of it.
    pub(super) async fn finish(self) -> io::Result<Recorded> {
        drop(self.ended);
        self.recorded
            .await
            .unwrap_or_else(|_| Err(io::Error::other("the thread that reads the output has panicked")))
    }
}

fn record(
    mut pipes: [(Stream, Option<PipeReader>); 2],
    until: &PipeReader,
    limit: usize,
) -> io::Result<Recorded> {
    let mut buffer = vec![0; CHUNK];
    let mut output = Some(Output::default());
    let (mut size, mut rest) = (0, MAX_REST);
    let (mut ended, mut failed) = (false, None);
    while pipes.iter().any(|(_, pipe)| pipe.is_some()) && rest > 0 {
        let mut readable = Vec::with_capacity(pipes.len());
        let events = wait(&pipes, (!ended).then_some(until))?;
        for ((stream, pipe), is_readable) in pipes.iter_mut().zip(events.pipes) {
            let Some(reader) = pipe.as_mut().filter(|_| is_readable) else {
                continue;
            };
            readable.push(*stream);
            let read = match reader.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            let bytes = &buffer[..read];
            if read == 0 {
                *pipe = None;
                continue;
            }
            if let Err(error) = stream.write(bytes) {
                // The command then gets SIGPIPE, as without `exec`.
                *pipe = None;
                failed.get_or_insert(error);
            }
            size += read;
            match &mut output {
                Some(output) if size <= limit => output.push(*stream, bytes),
                _ => output = None,
            }
            if ended {
                rest = rest.saturating_sub(read);
            }
        }
        if ended && readable.is_empty() {
            break;
        }
        ended |= events.ended;
    }
    Ok(match (failed, output) {
        (Some(error), _) if error.kind() == io::ErrorKind::BrokenPipe => Recorded::Closed,
        (Some(error), _) => Recorded::NotWritten(error),
        (None, Some(output)) => Recorded::Whole(output),
        (None, None) => Recorded::TooLarge,
    })
}

struct Events {
    pipes: [bool; 2],
    ended: bool,
}

/// Waits until a pipe has bytes or has ended, or the command has ended. After that (`until` is `None`) it does not wait.
fn wait(pipes: &[(Stream, Option<PipeReader>); 2], until: Option<&PipeReader>) -> io::Result<Events> {
    let open: Vec<_> = pipes.iter().filter_map(|(_, pipe)| pipe.as_ref()).collect();
    let mut polled: Vec<PollFd<'_>> = open
        .iter()
        .map(|pipe| PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN))
        .chain(until.map(|until| PollFd::from_borrowed_fd(until.as_fd(), PollFlags::IN)))
        .collect();
    let now = Timespec::default();
    let timeout = until.is_none().then_some(&now);
    wait_for(&mut polled, timeout)?;
    let mut ready = polled.iter().map(|polled| !polled.revents().is_empty());
    let mut of_pipe = |pipe: &Option<PipeReader>| pipe.is_some() && ready.next() == Some(true);
    let [(_, stdout), (_, stderr)] = pipes;
    let pipes = [of_pipe(stdout), of_pipe(stderr)];
    let ended = ready.next() == Some(true);
    Ok(Events { pipes, ended })
}

/// Like `poll`, which a signal interrupts.
fn wait_for(polled: &mut [PollFd<'_>], timeout: Option<&Timespec>) -> io::Result<()> {
    while let Err(error) = poll(polled, timeout) {
        if error != Errno::INTR {
            return Err(error.into());
        }
    }
    Ok(())
}
