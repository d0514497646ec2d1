//! The driver of one async reader: a task on the runtime that reads. It writes requests and delivers replies; `reader` spawns
//! it. Over plain sockets a lone caller writes its request itself. Over TLS the driver writes every request.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::ReadBuf;

use super::frame::{Due, Frames};
use super::queue::{Queue, Request, outcome};
use super::stream::Connection;
use crate::store::api::Outcome;
use crate::store::redis::connection::transport::Stream;

/// From how many waiting reads on the driver lets other tasks run first, so that one write carries their requests and one
/// read carries their replies.
const BATCH: usize = 2;

/// Resolves when the connection has ended. It may be dropped at any time: then waiting reads fail.
pub(crate) struct Driver {
    queue: Arc<Queue>,
    stream: Stream,
    frames: Frames,
    /// Requests that are being written.
    packed: Vec<u8>,
    written: usize,
    /// Requests whose replies are due, in order.
    requests: VecDeque<Request>,
    has_yielded: bool,
    // Kept for their capacity.
    replies: Vec<(usize, Outcome)>,
    wakers: Vec<Waker>,
}

impl Driver {
    pub(crate) fn new(connection: Connection, response_timeout: Duration) -> Self {
        Self {
            queue: Queue::new(connection.socket, response_timeout),
            stream: connection.stream,
            frames: connection.frames,
            packed: Vec::new(),
            written: 0,
            requests: VecDeque::new(),
            has_yielded: false,
            replies: Vec::new(),
            wakers: Vec::new(),
        }
    }

    pub(crate) fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// Resolves if the connection cannot be used any more.
    fn run(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        self.queue.take(&mut self.packed, &mut self.requests);
        if let Err(error) = self.write(context) {
            return Poll::Ready(error);
        }
        loop {
            let mut space = ReadBuf::new(self.frames.space());
            if let Err(error) = ready!(self.stream.io().poll_read(context, &mut space)) {
                return Poll::Ready(error);
            }
            let count = space.filled().len();
            if count == 0 {
                return Poll::Ready(io::ErrorKind::UnexpectedEof.into());
            }
            self.frames.add(count);
            self.queue.add_bytes_read(count);
            let split = self.split();
            self.queue.deliver(&mut self.replies, &mut self.wakers);
            if let Err(error) = split {
                return Poll::Ready(error);
            }
        }
    }

    /// Writes as much as the stream accepts. Then the stream wakes the driver when it accepts more.
    fn write(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        while self.written < self.packed.len() {
            match self
                .stream
                .io()
                .poll_write(context, &self.packed[self.written..])?
            {
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(count) => self.written += count,
                Poll::Pending => return Ok(()),
            }
            if self.written == self.packed.len() {
                self.packed.clear();
                self.written = 0;
                self.queue.take(&mut self.packed, &mut self.requests);
            }
        }
        // TLS keeps bytes back until it is flushed.
        let _ = self.stream.io().poll_flush(context)?;
        Ok(())
    }

    /// Collects the replies that have arrived. A byte is an error while no reply is due.
    fn split(&mut self) -> io::Result<()> {
        loop {
            if self.requests.is_empty() {
                // A caller may have written its request since the last look.
                self.queue.take_requests(&mut self.requests);
            }
            let Some(&Request { slot, max }) = self.requests.front() else {
                let is_clean = self.frames.is_empty();
                return if is_clean {
                    Ok(())
                } else {
                    Err(io::ErrorKind::InvalidData.into())
                };
            };
            let frame = self.frames.next(Due::Bulk { max });
            let Some(frame) = frame.map_err(|_| io::ErrorKind::InvalidData)? else {
                return Ok(());
            };
            self.requests.pop_front();
            self.replies.push((slot, outcome(frame)));
        }
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(due) = self.queue.driven(context.waker()) else {
            return Poll::Ready(());
        };
        if due >= BATCH && !self.has_yielded {
            self.has_yielded = true;
            // One turn later. `yield_now` would also poll the I/O driver of the runtime before.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.has_yielded = false;
        self.run(context).map(drop)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.queue.close();
    }
}
