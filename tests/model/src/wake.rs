//! The model of waiting: callers that sleep until the server pushes a change. Their timers, which are the backstop, are
//! left out: who sleeps and is never woken shows.
//!
//! A look goes out together with its registration and is done by the server in one step; what comes back on one
//! connection comes in order, but the caller sees its answer later than the connection's driver sees a push behind it.

use dspinlock_runtime::internals::protocol::{Reply, Request};
use stateright::{Model, Property};

use crate::finish::Finishes;
use crate::rule::Rule;
use crate::server::{FOR_EVER, Server, Terms};

/// How callers wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// As it ships.
    Shipped,
    /// A push wakes only who sleeps already.
    Unlatched,
    /// The look comes first, the registration after it, and no look after that.
    NoRecheck,
}

/// One key, callers that are after it, each in a process of its own or all in one.
#[derive(Debug, Clone)]
pub struct Wake {
    /// How many callers there are.
    pub callers: usize,
    /// They share one connection.
    pub one_process: bool,
    /// How often a connection breaks.
    pub breaks: u8,
    /// How often a process dies with the lock.
    pub crashes: u8,
    /// How they wait.
    pub waiting: Waiting,
}

/// Where a caller stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Caller {
    New,
    /// Its look is on its way to the server.
    Looks,
    /// The server has answered BUSY; the answer is in the pipe, or at the caller's door.
    Answered {
        at_the_door: bool,
    },
    /// Its look came back, the registration is on its way (only where that comes second).
    Registers,
    Sleeps,
    Holds,
    Over,
}

/// A moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    server: Server,
    callers: Vec<Caller>,
    /// A change since the caller joined its watch.
    latched: Vec<bool>,
    /// By connection: the server will push the next change.
    registered: Vec<bool>,
    /// By connection: what is on its way, in order.
    pipes: Vec<Vec<Item>>,
    breaks: u8,
    crashes: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Item {
    /// The answer to this caller's look.
    Busy(usize),
    Push,
}

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A caller sends its look.
    Looks(usize),
    /// A look reaches the server.
    Asks(usize),
    /// The registration reaches the server by itself.
    Registers(usize),
    /// The first thing in a pipe arrives.
    Arrives(usize),
    /// The caller sees its answer.
    Sees(usize),
    /// A caller that was woken looks again.
    Wakes(usize),
    /// The holder publishes.
    Publishes(usize),
    /// The holder gives up.
    Aborts(usize),
    /// The holder's process dies.
    Crashes(usize),
    /// The lease of a holder that died lapses, and the server says so.
    Lapses,
    /// A connection breaks.
    Breaks(usize),
}

/// Nobody sleeps for good.
pub const WOKEN: &str = "whoever sleeps will be woken";

const TERMS: Terms = Terms {
    rule: Rule::Shipped,
    lease: 1,
    ttl: FOR_EVER,
    cached: true,
    shared: false,
};

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
            breaks: self.breaks,
            crashes: self.crashes,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (at, caller) in state.callers.iter().enumerate() {
            match caller {
                Caller::New => actions.push(Action::Looks(at)),
                Caller::Looks => actions.push(Action::Asks(at)),
                Caller::Answered { at_the_door: true } => actions.push(Action::Sees(at)),
                Caller::Registers => actions.push(Action::Registers(at)),
                Caller::Sleeps if state.latched[at] => actions.push(Action::Wakes(at)),
                Caller::Holds => {
                    actions.extend([Action::Publishes(at), Action::Aborts(at)]);
                    if state.crashes > 0 {
                        actions.push(Action::Crashes(at));
                    }
                }
                Caller::Answered { at_the_door: false } | Caller::Sleeps | Caller::Over => {}
            }
        }
        for (at, pipe) in state.pipes.iter().enumerate() {
            if !pipe.is_empty() {
                actions.push(Action::Arrives(at));
            }
            if state.breaks > 0 {
                actions.push(Action::Breaks(at));
            }
        }
        if state.server.will_lapse() && !state.callers.contains(&Caller::Holds) {
            actions.push(Action::Lapses);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        next.take(self, action);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![Property::always(WOKEN, |model: &Self, state: &State| {
            let will_be_woken = |at: usize| {
                let connection = model.connection(at);
                state.latched[at]
                    // Whoever holds the lock changes it once more, or it lapses.
                    || state.registered[connection] && state.server.is_blocked()
                    || state.pipes[connection].contains(&Item::Push)
            };
            let sleeps = |at: &usize| state.callers[*at] == Caller::Sleeps;
            (0..state.callers.len()).filter(sleeps).all(will_be_woken)
        })]
    }
}

impl Finishes for Wake {
    fn is_fault(&self, action: &Action) -> bool {
        matches!(action, Action::Crashes(_) | Action::Breaks(_))
    }

    fn is_over(&self, state: &State) -> bool {
        state.callers.iter().all(|caller| *caller == Caller::Over)
    }
}

impl Wake {
    fn connection(&self, caller: usize) -> usize {
        if self.one_process { 0 } else { caller }
    }
}

impl State {
    fn take(&mut self, model: &Wake, action: Action) {
        match action {
            Action::Looks(at) | Action::Wakes(at) => {
                self.callers[at] = Caller::Looks;
                self.latched[at] = false;
            }
            Action::Asks(at) => self.asks(model, at),
            Action::Registers(at) => {
                self.registered[model.connection(at)] = true;
                self.callers[at] = Caller::Sleeps;
            }
            Action::Arrives(connection) => match self.pipes[connection].remove(0) {
                Item::Busy(at) => self.callers[at] = Caller::Answered { at_the_door: true },
                Item::Push => self.wake(model, connection),
            },
            Action::Sees(at) => {
                self.callers[at] = match model.waiting {
                    Waiting::NoRecheck => Caller::Registers,
                    _ => Caller::Sleeps,
                }
            }
            Action::Publishes(at) => {
                let fence = self.server.fence().unwrap_or_default();
                self.ends(at, &TERMS.publish(TAGS[at], fence, 0));
            }
            Action::Aborts(at) => self.ends(at, &Request::Abort { tag: TAGS[at].into() }),
            Action::Crashes(at) => {
                self.crashes -= 1;
                self.callers[at] = Caller::Over;
            }
            Action::Lapses => {
                while self.server.is_blocked() {
                    self.server.tick();
                }
                self.push();
            }
            Action::Breaks(connection) => self.breaks(model, connection),
        }
    }

    fn asks(&mut self, model: &Wake, at: usize) {
        let connection = model.connection(at);
        match self.server.step(&TERMS, &TERMS.acquire(TAGS[at], None)) {
            Reply::Acquired(_) => {
                self.callers[at] = Caller::Holds;
                self.push();
            }
            Reply::Hit(..) => self.callers[at] = Caller::Over,
            _ => {
                self.registered[connection] |= model.waiting != Waiting::NoRecheck;
                self.pipes[connection].push(Item::Busy(at));
                self.callers[at] = Caller::Answered { at_the_door: false };
            }
        }
    }

    fn ends(&mut self, at: usize, request: &Request) {
        self.server.step(&TERMS, request);
        self.callers[at] = Caller::Over;
        self.push();
    }

    /// A change: who is registered is told once.
    fn push(&mut self) {
        for (registered, pipe) in self.registered.iter_mut().zip(&mut self.pipes) {
            if std::mem::take(registered) {
                pipe.push(Item::Push);
            }
        }
    }

    /// Every watch of this process is told. Who has not joined one yet has yet to look.
    fn wake(&mut self, model: &Wake, connection: usize) {
        for at in 0..self.callers.len() {
            if model.connection(at) != connection {
                continue;
            }
            self.latched[at] |= match model.waiting {
                Waiting::Unlatched => self.callers[at] == Caller::Sleeps,
                _ => true,
            };
        }
    }

    /// What was on its way is lost, registrations too. All are woken; whose answer is lost looks again.
    fn breaks(&mut self, model: &Wake, connection: usize) {
        self.breaks -= 1;
        self.registered[connection] = false;
        for item in std::mem::take(&mut self.pipes[connection]) {
            if let Item::Busy(at) = item {
                self.callers[at] = Caller::Looks;
                self.latched[at] = false;
            }
        }
        self.wake(model, connection);
    }
}
