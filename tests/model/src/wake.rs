//! The model of waiting: callers that wait until the server pushes a change.
//!
//! Without [`Wake::polls`], the polling timers of the library are left out, so that a caller that is never woken is a
//! violation. A caller sends
//! ACQUIRE and the registration for a push together, and the server processes them in one step. Messages of one
//! connection arrive in order. A caller may process its reply later than the connection processes a push that arrived
//! after it.

use dspinlock_runtime::internals::protocol::{Reply, Request};
use stateright::{Model, Property};

use crate::liveness::Liveness;
use crate::mutation;
use crate::server::{Server, Settings};

/// The waiting code of the library, and mutations of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// The library's code.
    Shipped,
    /// A push wakes only the callers that already sleep.
    Unlatched,
    /// A caller registers for a push after ACQUIRE, and does not send ACQUIRE again.
    NoRecheck,
}

/// Callers of one key.
#[derive(Debug, Clone)]
pub struct Wake {
    /// Number of callers.
    pub callers: usize,
    /// Whether the callers share one connection. Otherwise each has its own process.
    pub one_process: bool,
    /// How often a connection is lost.
    pub disconnects: u8,
    /// How often the process of a holder dies.
    pub crashes: u8,
    /// Whether the server pushes changes.
    pub pushes: bool,
    /// Whether a sleeping caller also wakes by a timer.
    pub polls: bool,
    /// How the callers wait.
    pub variant: Variant,
}

/// State of a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Caller {
    New,
    /// ACQUIRE is in transit.
    Requested,
    /// The server has replied BUSY, and the reply is in transit.
    Replied,
    /// The reply has arrived.
    Received,
    /// The registration is in transit. Only with [`Variant::NoRecheck`].
    Registering,
    /// The caller waits for a push.
    Sleeping,
    Holding,
    Done,
}

/// State of the callers, their connections and the server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    server: Server,
    callers: Vec<Caller>,
    /// For each caller: whether a push has arrived since the caller began to watch the key.
    latched: Vec<bool>,
    /// For each connection: whether the server pushes the next change.
    registered: Vec<bool>,
    /// For each connection: the messages in transit, in order.
    pipes: Vec<Vec<Message>>,
    disconnects: u8,
    crashes: u8,
}

/// A message from the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Message {
    /// The reply to this caller.
    Busy(usize),
    Push,
}

/// One step of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A new caller sends ACQUIRE.
    Start(usize),
    /// ACQUIRE reaches the server.
    Serve(usize),
    /// A separate registration reaches the server.
    Register(usize),
    /// The first message of a connection arrives.
    Arrive(usize),
    /// The caller processes its reply.
    Receive(usize),
    /// A caller wakes and sends ACQUIRE again.
    Wake(usize),
    /// The holder publishes.
    Publish(usize),
    /// The holder aborts.
    Abort(usize),
    /// The process of the holder dies.
    Crash(usize),
    /// The lease of a dead holder expires, and the server pushes the change.
    Expire,
    /// A connection is lost.
    Disconnect(usize),
}

/// No wake-up is lost.
pub const WOKEN: &str = "every sleeping caller will be woken";

const SETTINGS: Settings = Settings::DEFAULT;

/// The tag of each caller.
const TAGS: [&str; 4] = ["a", "b", "c", "d"];

impl Model for Wake {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let connections = if self.one_process { 1 } else { self.callers };
        vec![State {
            server: Server::default(),
            callers: vec![Caller::New; self.callers],
            latched: vec![false; self.callers],
            registered: vec![false; connections],
            pipes: vec![Vec::new(); connections],
            disconnects: self.disconnects,
            crashes: self.crashes,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (at, caller) in state.callers.iter().enumerate() {
            match caller {
                Caller::New => actions.push(Action::Start(at)),
                Caller::Requested => actions.push(Action::Serve(at)),
                Caller::Received => actions.push(Action::Receive(at)),
                Caller::Registering => actions.push(Action::Register(at)),
                Caller::Sleeping if state.latched[at] || self.polls => actions.push(Action::Wake(at)),
                Caller::Holding => {
                    actions.extend([Action::Publish(at), Action::Abort(at)]);
                    if state.crashes > 0 {
                        actions.push(Action::Crash(at));
                    }
                }
                Caller::Replied | Caller::Sleeping | Caller::Done => {}
            }
        }
        for (at, pipe) in state.pipes.iter().enumerate() {
            if !pipe.is_empty() {
                actions.push(Action::Arrive(at));
            }
            if state.disconnects > 0 {
                actions.push(Action::Disconnect(at));
            }
        }
        if state.server.will_expire() && !state.callers.contains(&Caller::Holding) {
            actions.push(Action::Expire);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        next.apply(self, action);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![Property::always(WOKEN, |model: &Self, state: &State| {
            let will_be_woken = |at: usize| {
                let connection = model.connection(at);
                state.latched[at]
                    // The server pushes when the holder publishes or aborts, and when the lease expires.
                    || state.registered[connection] && state.server.is_blocked()
                    || state.pipes[connection].contains(&Message::Push)
            };
            let is_sleeping = |at: &usize| state.callers[*at] == Caller::Sleeping;
            (0..state.callers.len()).filter(is_sleeping).all(will_be_woken)
        })]
    }
}

impl Liveness for Wake {
    fn is_fault(&self, action: &Action) -> bool {
        matches!(action, Action::Crash(_) | Action::Disconnect(_))
    }

    fn is_done(&self, state: &State) -> bool {
        state.callers.iter().all(|caller| *caller == Caller::Done)
    }
}

impl Wake {
    fn connection(&self, caller: usize) -> usize {
        if self.one_process { 0 } else { caller }
    }
}

impl State {
    fn apply(&mut self, model: &Wake, action: Action) {
        match action {
            Action::Start(at) | Action::Wake(at) => self.send_acquire(at),
            Action::Serve(at) => self.serve(model, at),
            Action::Register(at) => {
                self.registered[model.connection(at)] = model.pushes;
                self.callers[at] = Caller::Sleeping;
            }
            Action::Arrive(connection) => match self.pipes[connection].remove(0) {
                Message::Busy(at) => self.callers[at] = Caller::Received,
                Message::Push => self.latch(model, connection),
            },
            Action::Receive(at) => {
                self.callers[at] = match model.variant {
                    Variant::NoRecheck => Caller::Registering,
                    _ => Caller::Sleeping,
                }
            }
            Action::Publish(at) => {
                let fence = self.server.fence().unwrap_or_default();
                self.finish(at, &SETTINGS.publish(TAGS[at], fence, 0, false));
            }
            Action::Abort(at) => self.finish(
                at,
                &Request::Abort {
                    tag: mutation::tag(TAGS[at]),
                },
            ),
            Action::Crash(at) => {
                self.crashes -= 1;
                self.callers[at] = Caller::Done;
            }
            Action::Expire => {
                while self.server.is_blocked() {
                    self.server.tick();
                }
                self.push();
            }
            Action::Disconnect(connection) => self.disconnect(model, connection),
        }
    }

    fn send_acquire(&mut self, at: usize) {
        self.callers[at] = Caller::Requested;
        self.latched[at] = false;
    }

    fn serve(&mut self, model: &Wake, at: usize) {
        let connection = model.connection(at);
        match self.server.step(&SETTINGS, &SETTINGS.acquire(TAGS[at], None)) {
            Reply::Acquired(_) => {
                self.callers[at] = Caller::Holding;
                self.push();
            }
            Reply::Hit(..) => self.callers[at] = Caller::Done,
            _ => {
                self.registered[connection] |= model.pushes && model.variant != Variant::NoRecheck;
                self.pipes[connection].push(Message::Busy(at));
                self.callers[at] = Caller::Replied;
            }
        }
    }

    fn finish(&mut self, at: usize, request: &Request) {
        self.server.step(&SETTINGS, request);
        self.callers[at] = Caller::Done;
        self.push();
    }

    /// Pushes a change to every registered connection. A registration is valid for one push.
    fn push(&mut self) {
        for (registered, pipe) in self.registered.iter_mut().zip(&mut self.pipes) {
            if std::mem::take(registered) {
                pipe.push(Message::Push);
            }
        }
    }

    /// Notifies every caller of the connection. A caller that has not sent ACQUIRE yet clears its latch when it does.
    fn latch(&mut self, model: &Wake, connection: usize) {
        for at in 0..self.callers.len() {
            if model.connection(at) != connection {
                continue;
            }
            self.latched[at] |= match model.variant {
                Variant::Unlatched => self.callers[at] == Caller::Sleeping,
                _ => true,
            };
        }
    }

    /// Drops the messages in transit and the registration, and notifies every caller of the connection. A caller whose
    /// reply is lost sends ACQUIRE again.
    fn disconnect(&mut self, model: &Wake, connection: usize) {
        self.disconnects -= 1;
        self.registered[connection] = false;
        for message in std::mem::take(&mut self.pipes[connection]) {
            if let Message::Busy(at) = message {
                self.send_acquire(at);
            }
        }
        self.latch(model, connection);
    }
}
