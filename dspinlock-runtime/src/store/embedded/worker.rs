//! The store's thread: it takes steps in order, waits for other processes, and looks out for their changes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::sqlite_error::Trouble;
use super::table::{Step, Table};
use super::watch::Watch;
use crate::error::StoreFailure;
use crate::protocol::{Reply, Request};
use crate::store::Failure;

/// How often to look for a change of another process while somebody waits for one.
const LOOK: Duration = Duration::from_millis(5);

/// The first and the longest pause while another process has the file. Short ones, as SQLite keeps no queue: who
/// pauses for long is overtaken by all who do not.
const PAUSE: (Duration, Duration) = (Duration::from_micros(50), Duration::from_micros(500));

/// What the store's thread is asked.
pub(super) enum Message {
    Step(Box<Job>),
    /// Somebody waits for a change from now on.
    Look,
}

/// One step, and where its reply goes.
pub(super) struct Job {
    pub(super) key: String,
    pub(super) request: Request,
    pub(super) deadline: Instant,
    pub(super) reply: oneshot::Sender<Result<Reply, Failure>>,
}

/// All that the thread owns.
pub(super) struct Worker {
    table: Table,
    inbox: Receiver<Message>,
    watch: Arc<Watch>,
    /// Steps that wait for another process to let go of the file, in order.
    blocked: VecDeque<Box<Job>>,
    pause: Duration,
    /// When to look again, while somebody waits.
    look_at: Instant,
    /// There may be rows to sweep; that is done when there is nothing else to do.
    is_dusty: bool,
}

impl Worker {
    pub(super) fn new(table: Table, inbox: Receiver<Message>, watch: Arc<Watch>) -> Self {
        Self {
            table,
            inbox,
            watch,
            blocked: VecDeque::new(),
            pause: PAUSE.0,
            look_at: Instant::now(),
            // Whoever had the file before may have left some.
            is_dusty: true,
        }
    }

    /// Until the store is dropped and every step that was asked for is answered.
    pub(super) fn run(mut self) {
        loop {
            match self.next() {
                Ok(Message::Step(job)) => self.accept(job),
                Ok(Message::Look) => self.look(),
                Err(RecvTimeoutError::Timeout) if self.is_dusty => self.sweep(),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) if self.blocked.is_empty() => break,
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(self.pause),
            }
            self.retry();
            if !self.watch.is_watched() {
                self.table.forget_changes();
            } else if self.look_at <= Instant::now() {
                self.look();
            }
        }
        self.watch.wake();
    }

    /// The next message, or the next thing to do without one. Sleeps for good while there is neither.
    fn next(&self) -> Result<Message, RecvTimeoutError> {
        let look = self
            .watch
            .is_watched()
            .then(|| self.look_at.saturating_duration_since(Instant::now()));
        let retry = (!self.blocked.is_empty()).then_some(self.pause);
        let sweep = self.is_dusty.then_some(Duration::ZERO);
        match look.into_iter().chain(retry).chain(sweep).min() {
            Some(pause) => self.inbox.recv_timeout(pause),
            None => self.inbox.recv().map_err(RecvTimeoutError::from),
        }
    }

    /// A reader need not wait for writers, neither of this process nor of another.
    fn accept(&mut self, job: Box<Job>) {
        if self.blocked.is_empty() || matches!(job.request, Request::Read(_)) {
            if let Some(job) = self.attempt(job) {
                self.pause = PAUSE.0;
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
                self.pause = (self.pause * 2).min(PAUSE.1);
                return;
            }
            self.pause = PAUSE.0;
        }
    }

    /// Gives the job back where another process has the file and there is time left.
    fn attempt(&mut self, job: Box<Job>) -> Option<Box<Job>> {
        let unwanted = job.reply.is_closed() && matches!(job.request, Request::Read(_) | Request::Acquire(_));
        if unwanted {
            return None;
        }
        let reply = match self.step(&job) {
            Ok(step) => {
                self.is_dusty |= step.is_dusty;
                // A renewal sets nobody free, and many holders renew all the time.
                if step.changed && !matches!(job.request, Request::Renew(_)) {
                    self.watch.wake();
                }
                Ok(step.reply)
            }
            Err(Trouble::Busy) if Instant::now() < job.deadline => return Some(job),
            Err(Trouble::Busy) => Err(Failure::Refused(StoreFailure::Timeout)),
            Err(Trouble::Failed(failure)) => Err(failure),
        };
        // Nobody listens where the future was dropped.
        let _ = job.reply.send(reply);
        None
    }

    fn step(&mut self, job: &Job) -> Result<Step, Trouble> {
        if !matches!(job.request, Request::Read(_)) {
            let time_left = job.deadline.saturating_duration_since(Instant::now());
            self.table.follow_file(time_left)?;
        }
        self.table.step(&job.key, &job.request)
    }

    /// Where it cannot be done now, it is done by another process or after a later step.
    fn sweep(&mut self) {
        self.is_dusty = self.table.sweep().unwrap_or(false);
    }

    fn look(&mut self) {
        if self.table.was_changed() {
            self.watch.wake();
        }
        self.look_at = Instant::now() + LOOK;
    }
}
