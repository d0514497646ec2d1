//! The state of the lock model, and how each action changes it.

use bytes::Bytes;
use dspinlock_runtime::internals::protocol::record::Entry;
use dspinlock_runtime::internals::protocol::{Reply, Request};

use super::{Action, Delivery, Faults, Lock, ONCE};
use crate::call::{Acquiring, Call, CallReply, CallRequest, FollowUp, Message, Running};
use crate::interned::EntryId;
use crate::mutation;
use crate::server::Server;

/// State of a lock, its callers and the network.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    pub(super) server: Server,
    pub(super) calls: Vec<Call>,
    /// Requests in transit, sorted.
    pub(super) requests: Vec<Message<CallRequest>>,
    /// Replies in transit, sorted.
    pub(super) replies: Vec<Message<CallReply>>,
    /// The record of the replica.
    pub(super) replica: Option<EntryId>,
    /// When the Python worker acquired the lock.
    pub(super) python: Option<u64>,
    /// Number of bodies that have started.
    pub(super) bodies: u8,
    /// The faults that may still happen.
    pub(super) faults: Faults,
}

impl State {
    pub(super) fn new(model: &Lock) -> Self {
        Self {
            server: Server::default(),
            calls: vec![Call::New; model.calls],
            requests: Vec::new(),
            replies: Vec::new(),
            replica: None,
            python: None,
            bodies: 0,
            faults: model.faults,
        }
    }

    pub(super) fn apply(&mut self, model: &Lock, action: Action) {
        match action {
            Action::Start(at) | Action::Retry(at) => self.send_acquire(at, None),
            Action::TakeOver(at) => {
                self.faults.takeovers -= 1;
                if let Call::Waiting { raw, .. } = &self.calls[at] {
                    let raw = raw.clone();
                    self.send_acquire(at, Some(raw));
                }
            }
            Action::DeliverRequest(request, delivery) => {
                match delivery {
                    Delivery::Duplicated => self.faults.duplicates -= 1,
                    Delivery::Once => remove(&mut self.requests, &request),
                }
                self.serve(model, request);
            }
            Action::DeliverReply(reply) => {
                remove(&mut self.replies, &reply);
                self.receive(model, reply);
            }
            Action::LoseRequest(request) => {
                self.faults.losses -= 1;
                remove(&mut self.requests, &request);
            }
            Action::LoseReply(reply) => {
                self.faults.losses -= 1;
                remove(&mut self.replies, &reply);
            }
            Action::TimeOut(at) => self.time_out(at),
            Action::Renew(at) => {
                self.faults.renewals -= 1;
                self.send_renew(at);
            }
            Action::Finish(at) => self.finish(at),
            Action::Drop(at) => {
                self.faults.drops -= 1;
                self.abort(at);
            }
            Action::Crash(at) => {
                self.faults.crashes -= 1;
                self.calls[at] = Call::Done;
            }
            other => self.apply_to_server(model, other),
        }
    }

    fn apply_to_server(&mut self, model: &Lock, action: Action) {
        match action {
            Action::Tick => self.server.tick(),
            Action::Delete => {
                self.faults.deletes -= 1;
                self.server.step(&model.settings, &Request::Delete);
            }
            Action::Restart => {
                self.faults.restarts -= 1;
                self.server.entry = EntryId::of(Entry::Absent);
            }
            Action::Replicate => self.replica = Some(self.server.entry),
            Action::FailOver => {
                self.faults.failovers -= 1;
                if let Some(replica) = self.replica.take() {
                    self.server.entry = EntryId::of(replica.entry().at(self.server.now()));
                }
            }
            Action::PythonAcquire => {
                self.faults.python_writes -= 1;
                self.python = Some(self.server.python_acquire());
            }
            Action::PythonRelease => {
                let acquired_at = self.python.take().unwrap_or_default();
                self.server.python_release(acquired_at);
            }
            _ => unreachable!("an action of a call"),
        }
    }

    fn send_acquire(&mut self, at: usize, stale: Option<Bytes>) {
        let number = self.send(at, CallRequest::Acquire(stale.clone()));
        let (has_waited, late_grant) = match self.calls[at] {
            Call::Waiting { late_grant, .. } => (true, late_grant),
            _ => (false, false),
        };
        self.calls[at] = Call::Acquiring(Acquiring {
            number,
            resent: false,
            sent: self.server.tick,
            late_grant,
            has_waited,
            stale,
        });
    }

    /// The server runs a request and sends the reply.
    fn serve(&mut self, model: &Lock, request: Message<CallRequest>) {
        let (tag, settings) = (TAGS[request.call], &model.settings);
        let step = match &request.body {
            CallRequest::Acquire(stale) => settings.acquire(tag, stale.clone()),
            CallRequest::Renew(fence) => settings.renew(tag, *fence),
            CallRequest::Publish(fence, version, resent) => settings.publish(tag, *fence, *version, *resent),
            CallRequest::Abort => Request::Abort {
                tag: mutation::tag(tag),
            },
        };
        let body = match self.server.step(settings, &step) {
            Reply::Acquired(id) => CallReply::Acquired(id.fence),
            // Only a takeover needs the bytes. Without them there are fewer states.
            Reply::Busy(busy) if model.faults.takeovers > 0 => CallReply::Busy(busy.line),
            Reply::Busy(_) => CallReply::Busy(Bytes::new()),
            Reply::Hit(..) | Reply::Computed => CallReply::Hit,
            Reply::Done | Reply::Published | Reply::Released => CallReply::Published,
            Reply::Renewed => CallReply::Renewed,
            Reply::Lost => CallReply::Lost,
            Reply::Aborted(_) => return,
            reply => unreachable!("{reply:?} to {:?}", request.body),
        };
        insert(
            &mut self.replies,
            Message {
                call: request.call,
                number: request.number,
                body,
            },
        );
    }

    fn receive(&mut self, model: &Lock, reply: Message<CallReply>) {
        let (tick, version, at) = (self.server.tick, self.server.history.version, reply.call);
        let call = &mut self.calls[at];
        let was_running = matches!(call, Call::Running(_));
        let deadline = match call {
            Call::Running(Running { deadline, .. }) | Call::Publishing { deadline, .. } => *deadline,
            _ => 0,
        };
        self.server.history.lost_lease |= reply.body == CallReply::Lost && tick < deadline;
        let follow_up = call.on_reply(reply.body, tick, model.settings.lease, version);
        if model.properties.contains(&ONCE) {
            self.bodies += u8::from(!was_running && matches!(call, Call::Running(_)));
        }
        self.send_follow_up(at, &follow_up);
    }

    /// After the first timeout the request is sent again with the same tag, so that the server runs it only once.
    fn time_out(&mut self, at: usize) {
        if self.is_in_transit(at) {
            self.faults.losses -= 1;
        }
        let repeated = match &mut self.calls[at] {
            Call::Acquiring(acquiring) if !acquiring.resent => {
                Some(CallRequest::Acquire(acquiring.stale.clone()))
            }
            Call::Publishing {
                resent: false,
                fence,
                version,
                ..
            } => Some(CallRequest::Publish(*fence, *version, true)),
            _ => None,
        };
        let Some(request) = repeated else {
            let follow_up = self.calls[at].on_timeout();
            return self.send_follow_up(at, &follow_up);
        };
        let sent = self.send(at, request);
        match &mut self.calls[at] {
            Call::Acquiring(Acquiring { number, resent, .. }) | Call::Publishing { number, resent, .. } => {
                (*number, *resent) = (sent, true);
            }
            _ => {}
        }
    }

    fn send_follow_up(&mut self, at: usize, follow_up: &FollowUp) {
        match follow_up {
            FollowUp::Nothing => {}
            FollowUp::Abort => drop(self.send(at, CallRequest::Abort)),
            FollowUp::Acquire => {
                let sent = self.send(at, CallRequest::Acquire(None));
                if let Call::Acquiring(acquiring) = &mut self.calls[at] {
                    (acquiring.number, acquiring.stale) = (sent, None);
                }
            }
        }
    }

    fn send_renew(&mut self, at: usize) {
        let Call::Running(Running { fence, .. }) = self.calls[at] else {
            return;
        };
        let renewal = Some((self.send(at, CallRequest::Renew(fence)), self.server.tick));
        if let Call::Running(running) = &mut self.calls[at] {
            running.renewal = renewal;
        }
    }

    fn finish(&mut self, at: usize) {
        if !self.calls[at].holds_lock(self.server.tick) {
            return self.abort(at);
        }
        let Call::Running(Running {
            fence,
            version,
            deadline,
            ..
        }) = self.calls[at]
        else {
            return;
        };
        let number = self.send(at, CallRequest::Publish(fence, version, false));
        self.calls[at] = Call::Publishing {
            number,
            resent: false,
            fence,
            version,
            deadline,
        };
    }

    fn abort(&mut self, at: usize) {
        if self.calls[at].is_armed() {
            self.send(at, CallRequest::Abort);
        }
        self.calls[at] = Call::Done;
    }

    /// Sends a request under a number that no message in transit has.
    fn send(&mut self, call: usize, body: CallRequest) -> u8 {
        let number = if body == CallRequest::Abort {
            0
        } else {
            self.free_number(call)
        };
        insert(&mut self.requests, Message { call, number, body });
        number
    }

    fn free_number(&self, call: usize) -> u8 {
        let is_used = |number| {
            self.calls[call].awaits(number)
                || self.requests.iter().any(|m| m.call == call && m.number == number)
                || self.replies.iter().any(|m| m.call == call && m.number == number)
        };
        (1..).find(|number| !is_used(*number)).unwrap_or(u8::MAX)
    }

    /// Whether a message is in transit.
    pub(super) fn is_in_motion(&self) -> bool {
        !self.requests.is_empty() || !self.replies.is_empty()
    }

    /// Whether the request is an ABORT, and an ACQUIRE of its call is in transit.
    pub(super) fn is_behind_an_acquire(&self, request: &Message<CallRequest>) -> bool {
        let is_acquire =
            |m: &Message<CallRequest>| m.call == request.call && matches!(m.body, CallRequest::Acquire(_));
        request.body == CallRequest::Abort && self.requests.iter().any(is_acquire)
    }

    /// Whether the request or the reply that this call waits for is in transit.
    fn is_in_transit(&self, at: usize) -> bool {
        let call = &self.calls[at];
        let is_awaited = |of: usize, number: u8| of == at && call.awaits(number);
        self.requests.iter().any(|m| is_awaited(m.call, m.number))
            || self.replies.iter().any(|m| is_awaited(m.call, m.number))
    }

    pub(super) fn may_time_out(&self, at: usize) -> bool {
        let waits = (0..=u8::MAX).any(|number| self.calls[at].awaits(number));
        waits && (self.faults.losses > 0 || !self.is_in_transit(at))
    }

    /// Removes the replies that no call waits for. They change nothing.
    pub(super) fn remove_unawaited_replies(&mut self) {
        let calls = &self.calls;
        self.replies
            .retain(|reply| calls[reply.call].awaits(reply.number));
    }
}

/// The tag of each call.
pub(super) const TAGS: [&str; 3] = ["a", "b", "c"];

/// The different messages of a sorted list.
pub(super) fn distinct<T: PartialEq>(messages: &[T]) -> impl Iterator<Item = &T> {
    let is_repeated = |at: usize| at > 0 && messages[at] == messages[at - 1];
    messages
        .iter()
        .enumerate()
        .filter(move |(at, _)| !is_repeated(*at))
        .map(|(_, message)| message)
}

fn insert<T: Ord>(messages: &mut Vec<T>, message: T) {
    let at = messages.partition_point(|other| *other < message);
    messages.insert(at, message);
}

fn remove<T: Ord>(messages: &mut Vec<T>, message: &T) {
    if let Ok(at) = messages.binary_search(message) {
        messages.remove(at);
    }
}
