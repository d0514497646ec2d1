//! What an action changes.

use bytes::Bytes;
use dspinlock_runtime::internals::protocol::record::Record;
use dspinlock_runtime::internals::protocol::{Reply, Request};

use super::{Action, Again, Faults, Lock, ONCE};
use crate::call::{Answer, Ask, Asks, Call, Message, Runs, Sends};
use crate::kept::Kept;
use crate::server::Server;

/// A moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    pub(super) server: Server,
    pub(super) calls: Vec<Call>,
    pub(super) requests: Vec<Message<Ask>>,
    pub(super) answers: Vec<Message<Answer>>,
    /// What the replica knows.
    pub(super) replica: Option<Kept>,
    /// When the Python worker took the lock.
    pub(super) python: Option<u64>,
    pub(super) bodies: u8,
    pub(super) left: Faults,
}

impl State {
    pub(super) fn new(model: &Lock) -> Self {
        Self {
            server: Server::default(),
            calls: vec![Call::New; model.calls],
            requests: Vec::new(),
            answers: Vec::new(),
            replica: None,
            python: None,
            bodies: 0,
            left: model.faults,
        }
    }

    pub(super) fn take(&mut self, model: &Lock, action: Action) {
        match action {
            Action::Begins(at) | Action::Looks(at) => self.asks(at, None),
            Action::TakesOver(at) => {
                self.left.takeovers -= 1;
                if let Call::Waits { raw, .. } = &self.calls[at] {
                    let raw = raw.clone();
                    self.asks(at, Some(raw));
                }
            }
            Action::Reaches(request, again) => {
                match again {
                    Again::Yes => self.left.doubles -= 1,
                    Again::No => remove(&mut self.requests, &request),
                }
                self.serves(model, request);
            }
            Action::Answers(answer) => {
                remove(&mut self.answers, &answer);
                self.hears(model, answer);
            }
            Action::LosesRequest(request) => {
                self.left.losses -= 1;
                remove(&mut self.requests, &request);
            }
            Action::LosesAnswer(answer) => {
                self.left.losses -= 1;
                remove(&mut self.answers, &answer);
            }
            Action::TimesOut(at) => self.times_out(at),
            Action::Beats(at) => {
                self.left.beats -= 1;
                self.beats(at);
            }
            Action::Finishes(at) => self.finishes(at),
            Action::Drops(at) => {
                self.left.drops -= 1;
                self.ends(at);
            }
            Action::Crashes(at) => {
                self.left.crashes -= 1;
                self.calls[at] = Call::Over;
            }
            other => self.happens(model, other),
        }
    }

    fn happens(&mut self, model: &Lock, action: Action) {
        match action {
            Action::Ticks => self.server.tick(),
            Action::Deletes => {
                self.left.deletes -= 1;
                self.server.step(&model.terms, &Request::Delete);
            }
            Action::Restarts => {
                self.left.restarts -= 1;
                self.server.record = Kept::of(Record::default());
            }
            Action::Replicates => self.replica = Some(self.server.record),
            Action::FailsOver => {
                self.left.failovers -= 1;
                if let Some(replica) = self.replica.take() {
                    self.server.record = Kept::of(replica.record().at(self.server.now()));
                }
            }
            Action::PythonTakes => {
                self.left.pythons -= 1;
                self.python = Some(self.server.python_takes());
            }
            Action::PythonReleases => {
                let taken = self.python.take().unwrap_or_default();
                self.server.python_releases(taken);
            }
            _ => unreachable!("an action of a caller"),
        }
    }

    fn asks(&mut self, at: usize, stale: Option<Bytes>) {
        let number = self.send(at, Ask::Acquire(stale.clone()));
        let (begun, late) = match self.calls[at] {
            Call::Waits { late, .. } => (true, late),
            _ => (false, false),
        };
        self.calls[at] = Call::Asks(Asks {
            number,
            again: false,
            sent: self.server.tick,
            late,
            begun,
            stale,
        });
    }

    fn serves(&mut self, model: &Lock, request: Message<Ask>) {
        let (tag, terms) = (TAGS[request.call], &model.terms);
        let asked = match &request.body {
            Ask::Acquire(stale) => terms.acquire(tag, stale.clone()),
            Ask::Renew(fence) => terms.renew(tag, *fence),
            Ask::Publish(fence, version) => terms.publish(tag, *fence, *version),
            Ask::Abort => Request::Abort { tag: tag.into() },
        };
        let body = match self.server.step(terms, &asked) {
            Reply::Acquired(fence) => Answer::Acquired(fence),
            // Without takeovers the bytes do not matter.
            Reply::Busy(busy) if model.faults.takeovers > 0 => Answer::Busy(busy.raw),
            Reply::Busy(_) => Answer::Busy(Bytes::new()),
            Reply::Hit(..) => Answer::Hit,
            Reply::Done | Reply::Published => Answer::Published,
            Reply::Renewed => Answer::Renewed,
            Reply::Lost => Answer::Lost,
            Reply::Aborted(_) => return,
            reply => unreachable!("{reply:?} to {:?}", request.body),
        };
        insert(
            &mut self.answers,
            Message {
                call: request.call,
                number: request.number,
                body,
            },
        );
    }

    fn hears(&mut self, model: &Lock, answer: Message<Answer>) {
        let (tick, version, at) = (self.server.tick, self.server.past.version, answer.call);
        let call = &mut self.calls[at];
        let ran = matches!(call, Call::Runs(_));
        let sends = call.hears(answer.body, tick, model.terms.lease, version);
        if model.promises.contains(&ONCE) {
            self.bodies += u8::from(!ran && matches!(call, Call::Runs(_)));
        }
        self.follow(at, &sends);
    }

    /// A first time the request is sent again, with the same tag: the step is the same one.
    fn times_out(&mut self, at: usize) {
        if self.is_under_way(at) {
            self.left.losses -= 1;
        }
        let again = match &mut self.calls[at] {
            Call::Asks(asks) if !asks.again => Some(Ask::Acquire(asks.stale.clone())),
            Call::Publishes {
                again: false,
                fence,
                version,
                ..
            } => Some(Ask::Publish(*fence, *version)),
            _ => None,
        };
        let Some(ask) = again else {
            let sends = self.calls[at].fails();
            return self.follow(at, &sends);
        };
        let sent = self.send(at, ask);
        match &mut self.calls[at] {
            Call::Asks(Asks { number, again, .. }) | Call::Publishes { number, again, .. } => {
                (*number, *again) = (sent, true);
            }
            _ => {}
        }
    }

    fn follow(&mut self, at: usize, sends: &Sends) {
        match sends {
            Sends::Nothing => {}
            Sends::Abort => drop(self.send(at, Ask::Abort)),
            Sends::Acquire => {
                let sent = self.send(at, Ask::Acquire(None));
                if let Call::Asks(asks) = &mut self.calls[at] {
                    (asks.number, asks.stale) = (sent, None);
                }
            }
        }
    }

    fn beats(&mut self, at: usize) {
        let Call::Runs(Runs { fence, .. }) = self.calls[at] else {
            return;
        };
        let beat = Some((self.send(at, Ask::Renew(fence)), self.server.tick));
        if let Call::Runs(runs) = &mut self.calls[at] {
            runs.beat = beat;
        }
    }

    fn finishes(&mut self, at: usize) {
        if !self.calls[at].holds(self.server.tick) {
            return self.ends(at);
        }
        let Call::Runs(Runs {
            fence,
            version,
            deadline,
            ..
        }) = self.calls[at]
        else {
            return;
        };
        let number = self.send(at, Ask::Publish(fence, version));
        self.calls[at] = Call::Publishes {
            number,
            again: false,
            fence,
            version,
            deadline,
        };
    }

    fn ends(&mut self, at: usize) {
        if self.calls[at].is_armed() {
            self.send(at, Ask::Abort);
        }
        self.calls[at] = Call::Over;
    }

    /// Sends under a number that nothing on its way has.
    fn send(&mut self, call: usize, body: Ask) -> u8 {
        let number = if body == Ask::Abort {
            0
        } else {
            self.free_number(call)
        };
        insert(&mut self.requests, Message { call, number, body });
        number
    }

    fn free_number(&self, call: usize) -> u8 {
        let taken = |number| {
            self.calls[call].awaits(number)
                || self.requests.iter().any(|m| m.call == call && m.number == number)
                || self.answers.iter().any(|m| m.call == call && m.number == number)
        };
        (1..).find(|number| !taken(*number)).unwrap_or(u8::MAX)
    }

    /// Whether what this call waits for is under way.
    fn is_under_way(&self, at: usize) -> bool {
        let call = &self.calls[at];
        let mine = |of: usize, number: u8| of == at && call.awaits(number);
        self.requests.iter().any(|m| mine(m.call, m.number))
            || self.answers.iter().any(|m| mine(m.call, m.number))
    }

    pub(super) fn may_time_out(&self, at: usize) -> bool {
        let waits = (0..=u8::MAX).any(|number| self.calls[at].awaits(number));
        waits && (self.left.losses > 0 || !self.is_under_way(at))
    }

    /// An answer that nobody waits for changes nothing.
    pub(super) fn forget_unheard(&mut self) {
        let calls = &self.calls;
        self.answers
            .retain(|answer| calls[answer.call].awaits(answer.number));
    }
}

const TAGS: [&str; 3] = ["a", "b", "c"];

pub(super) fn distinct<T: PartialEq>(messages: &[T]) -> impl Iterator<Item = &T> {
    let again = |at: usize| at > 0 && messages[at] == messages[at - 1];
    messages
        .iter()
        .enumerate()
        .filter(move |(at, _)| !again(*at))
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
