//! The thread of a store: it executes steps in order, retries while other processes keep the file busy, and polls for
//! their changes. `embedded` starts it. After the file is opened, SQLite is called on this thread only.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::inherited::Open;
use super::sqlite_error::SqliteError;
use super::table::{Step, Table};
use crate::key::Key;
use crate::protocol::{Reply, Request};
use crate::rt::clock::Instant;
use crate::store::api::Failure;
#[cfg(feature = "inspect")]
use crate::store::api::Names;
use crate::store::watch::Watch;

/// How often the file is polled for changes of other processes while a caller waits for one.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// The first and the longest pause while another process keeps the file busy. SQLite has no queue, so all others would
/// overtake a process with long pauses.
const MIN_PAUSE: Duration = Duration::from_micros(50);
const MAX_PAUSE: Duration = Duration::from_micros(500);

/// A message to the thread.
pub(super) enum Message {
    Step(Box<Job>),
    /// A caller waits for a change of the current content.
    Poll,
    /// Some names that begin with `prefix`, behind the name `after`.
    #[cfg(feature = "inspect")]
    Names {
        prefix: String,
        after: String,
        reply: oneshot::Sender<Result<Names, Failure>>,
    },
}

/// One step, and the channel for its reply.
pub(super) struct Job {
    pub(super) key: Key,
    pub(super) request: Request,
    pub(super) deadline: Instant,
    pub(super) reply: oneshot::Sender<Result<Reply, Failure>>,
}

/// The state of the thread.
pub(super) struct Worker {
    table: Open<Table>,
    inbox: Receiver<Message>,
    watch: Arc<Watch>,
    /// Steps that wait until another process releases the file, in order.
    blocked: VecDeque<Box<Job>>,
    pause: Duration,
    /// When to poll again, while a caller waits.
    poll_at: Instant,
    /// There may be expired rows. They are removed when the thread is idle.
    needs_sweep: bool,
}

impl Worker {
    pub(super) fn new(table: Open<Table>, inbox: Receiver<Message>, watch: Arc<Watch>) -> Self {
        Self {
            table,
            inbox,
            watch,
            blocked: VecDeque::new(),
            pause: MIN_PAUSE,
            poll_at: Instant::now(),
            // Earlier processes may have left expired rows.
            needs_sweep: true,
        }
    }

    /// Runs until the store is dropped and every step has its reply.
    pub(super) fn run(mut self) {
        loop {
            match self.next() {
                Ok(Message::Step(job)) => self.accept(job),
                Ok(Message::Poll) => self.poll(),
                #[cfg(feature = "inspect")]
                Ok(Message::Names { prefix, after, reply }) => {
                    let names = self.table.with(|table| table.names(&prefix, &after));
                    // The future may have been dropped.
                    let _ = reply.send(names.map_err(SqliteError::into_failure));
                }
                Err(RecvTimeoutError::Timeout) if self.needs_sweep => self.sweep(),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) if self.blocked.is_empty() => break,
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(self.pause),
            }
            self.retry();
            if !self.watch.is_watched() {
                self.table.with(Table::forget_changes);
            } else if self.poll_at <= Instant::now() {
                self.poll();
            }
        }
        self.watch.wake();
    }

    /// The next message. Times out when a poll, a retry or a sweep is due.
    fn next(&self) -> Result<Message, RecvTimeoutError> {
        let poll = self
            .watch
            .is_watched()
            .then(|| self.poll_at.saturating_duration_since(Instant::now()));
        let retry = (!self.blocked.is_empty()).then_some(self.pause);
        let sweep = self.needs_sweep.then_some(Duration::ZERO);
        match poll.into_iter().chain(retry).chain(sweep).min() {
            Some(pause) => self.inbox.recv_timeout(pause),
            None => self.inbox.recv().map_err(RecvTimeoutError::from),
        }
    }

    /// A read does not wait for writers, because a WAL file has snapshots.
    fn accept(&mut self, job: Box<Job>) {
        if self.blocked.is_empty() || matches!(job.request, Request::Read(_)) {
            if let Some(job) = self.attempt(job) {
                self.pause = MIN_PAUSE;
                self.blocked.push_back(job);
            }
        } else {
            self.blocked.push_back(job);
        }
    }

    fn retry(&mut self) {
        while let Some(job) = self.blocked.pop_front() {
            if let Some(job) = self.attempt(job) {
                self.blocked.push_front(job);
                self.pause = (self.pause * 2).min(MAX_PAUSE);
                return;
            }
            self.pause = MIN_PAUSE;
        }
    }

    /// Returns the job if another process keeps the file busy and the deadline has not passed.
    fn attempt(&mut self, job: Box<Job>) -> Option<Box<Job>> {
        let is_unwanted =
            job.reply.is_closed() && matches!(job.request, Request::Read(_) | Request::Acquire(_));
        if is_unwanted {
            return None;
        }
        let reply = match self.step(&job) {
            Ok(step) => {
                self.needs_sweep |= step.needs_sweep;
                // A renewal frees no key, and holders renew often.
                if step.changed && !matches!(job.request, Request::Renew(_)) {
                    self.watch.wake();
                }
                Ok(step.reply)
            }
            Err(SqliteError::Busy) if Instant::now() < job.deadline => return Some(job),
            Err(error) => Err(error.into_failure()),
        };
        // The future may have been dropped.
        let _ = job.reply.send(reply);
        None
    }

    fn step(&mut self, job: &Job) -> Result<Step, SqliteError> {
        self.table.with(|table| {
            if !matches!(job.request, Request::Read(_)) {
                let remaining = job.deadline.saturating_duration_since(Instant::now());
                table.follow_file(remaining)?;
            }
            table.step(&job.key, &job.request)
        })
    }

    /// Removes a few expired rows. After a failure, another process or a later step removes them.
    fn sweep(&mut self) {
        self.needs_sweep = self.table.with(Table::sweep).unwrap_or(false);
    }

    fn poll(&mut self) {
        if self.table.with(Table::was_changed) {
            self.watch.wake();
        }
        self.poll_at = Instant::now() + POLL_INTERVAL;
    }
}
