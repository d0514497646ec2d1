//! The model of a near cache: two calls of one process read at the same time, others write and delete, and what was read is
//! kept until a push says that it has changed.
//!
//! Reads and pushes share a connection and come in order; a reader sees its answer later than the connection's driver
//! sees a push behind it.

use dspinlock_runtime::internals::protocol::{Read, Reply, Request};
use stateright::{Model, Property};

use crate::rule::Rule;
use crate::server::{FOR_EVER, Server, Terms, version};

/// How copies are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    /// As it ships.
    Shipped,
    /// An answer is kept whether its slot is still taken or not.
    Blindly,
    /// A connection that breaks empties nothing.
    AcrossBreaks,
    /// A break empties what is filled, and leaves what is only taken.
    OnlyFilled,
}

/// One process with a near cache.
#[derive(Debug, Clone)]
pub struct Near {
    /// How often the key is computed.
    pub results: u8,
    /// How often it is deleted.
    pub deletes: u8,
    /// How often the connection breaks.
    pub breaks: u8,
    /// How often the server is replaced by one that knows an earlier record.
    pub failovers: u8,
    /// How copies are kept.
    pub keeping: Keeping,
}

/// A call that reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Reader {
    Idle,
    /// It has taken the slot; its read is on its way.
    Reads(u8),
    /// Its answer is in the pipe.
    Answered(u8),
    /// Its answer is at the door: the version that it read.
    Sees(u8, Option<u8>),
}

/// The slot of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Slot {
    Empty,
    Taken(u8),
    Filled(u8, u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Item {
    Answer(usize, Option<u8>),
    /// What the server knew when it sent the push: how many invalidations there had been.
    Push(u8),
}

/// A moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    server: Server,
    replica: Option<Server>,
    readers: [Reader; 2],
    slot: Slot,
    /// The next token.
    token: u8,
    registered: bool,
    pipe: Vec<Item>,
    /// How many invalidations this process has heard of.
    heard: u8,
    left: [u8; 4],
}

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A call misses, takes the slot and reads.
    Begins(usize),
    /// The read reaches the server, which registers the key.
    Reads(usize),
    /// The first thing in the pipe arrives.
    Arrives,
    /// The reader sees its answer.
    Sees(usize),
    /// Another process takes the lock and computes.
    Acquires,
    /// It publishes.
    Publishes,
    /// Another process deletes the key.
    Deletes,
    /// The connection breaks.
    Breaks,
    /// The replica is up to date.
    Replicates,
    /// The replica becomes the server; all connections break.
    FailsOver,
}

/// Nothing older than what the process has heard of.
pub const HEARD: &str = "no copy is older than an invalidation that was heard of";
/// A copy goes when its value does.
pub const DROPPED: &str = "a copy that is no longer the server's is about to be dropped";
/// The same of the server itself.
pub const SERVED: &str = "no value that the server shows is older than an invalidation that was heard of";

const TERMS: Terms = Terms {
    rule: Rule::Shipped,
    lease: 1,
    ttl: FOR_EVER,
    cached: true,
    shared: false,
};

const DELETES: usize = 0;
const RESULTS: usize = 1;
const BREAKS: usize = 2;
const FAILOVERS: usize = 3;

impl Model for Near {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            server: Server::default(),
            replica: None,
            readers: [Reader::Idle; 2],
            slot: Slot::Empty,
            token: 0,
            registered: false,
            pipe: Vec::new(),
            heard: 0,
            left: [self.deletes, self.results, self.breaks, self.failovers],
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (at, reader) in state.readers.iter().enumerate() {
            match reader {
                // Enough reads to go round all writes, and no more.
                Reader::Idle if state.token < 4 => actions.push(Action::Begins(at)),
                Reader::Reads(_) => actions.push(Action::Reads(at)),
                Reader::Sees(..) => actions.push(Action::Sees(at)),
                Reader::Idle | Reader::Answered(_) => {}
            }
        }
        let blocked = state.server.is_blocked();
        let possible = [
            (!state.pipe.is_empty(), Action::Arrives),
            (state.left[RESULTS] > 0 && !blocked, Action::Acquires),
            (blocked, Action::Publishes),
            (state.left[DELETES] > 0, Action::Deletes),
            (state.left[BREAKS] > 0, Action::Breaks),
            (
                state.left[FAILOVERS] > 0 && state.replica.is_none(),
                Action::Replicates,
            ),
            (
                state.left[FAILOVERS] > 0 && state.replica.is_some(),
                Action::FailsOver,
            ),
        ];
        actions.extend(
            possible
                .into_iter()
                .filter(|(may, _)| *may)
                .map(|(_, action)| action),
        );
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        next.take(self.keeping, action);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(HEARD, |_, state: &State| {
                state.copy().is_none_or(|copy| copy >= state.heard)
            }),
            Property::always(DROPPED, |_, state: &State| {
                let dropped = state.pipe.iter().any(|item| matches!(item, Item::Push(_)));
                state.copy().is_none() || state.copy() == state.shown() || dropped
            }),
            Property::always(SERVED, |_, state: &State| {
                state.shown().is_none_or(|shown| shown >= state.heard)
            }),
        ]
    }
}

impl State {
    /// What a call of this process would be handed.
    fn copy(&self) -> Option<u8> {
        match self.slot {
            Slot::Filled(_, version) => Some(version),
            _ => None,
        }
    }

    /// What the server would answer.
    fn shown(&self) -> Option<u8> {
        let mut server = self.server.clone();
        let read = Read {
            shared: TERMS.shared,
            bound: usize::MAX,
        };
        match server.step(&TERMS, &Request::Read(read)) {
            Reply::Hit(value, _) => Some(version(&value.payload)),
            _ => None,
        }
    }

    fn take(&mut self, keeping: Keeping, action: Action) {
        match action {
            Action::Begins(at) => {
                self.token += 1;
                self.slot = Slot::Taken(self.token);
                self.readers[at] = Reader::Reads(self.token);
            }
            Action::Reads(at) => {
                if let Reader::Reads(token) = self.readers[at] {
                    self.readers[at] = Reader::Answered(token);
                    self.registered = true;
                    self.pipe.push(Item::Answer(at, self.shown()));
                }
            }
            Action::Arrives => match self.pipe.remove(0) {
                Item::Answer(at, version) => {
                    if let Reader::Answered(token) = self.readers[at] {
                        self.readers[at] = Reader::Sees(token, version);
                    }
                }
                Item::Push(heard) => {
                    self.heard = self.heard.max(heard);
                    self.slot = Slot::Empty;
                }
            },
            Action::Sees(at) => self.sees(keeping, at),
            Action::Acquires => {
                self.left[RESULTS] -= 1;
                self.writes(&TERMS.acquire("a", None));
            }
            Action::Publishes => {
                let fence = self.server.fence().unwrap_or_default();
                self.writes(&TERMS.publish("a", fence, self.server.past.version));
            }
            Action::Deletes => {
                self.left[DELETES] -= 1;
                self.writes(&Request::Delete);
            }
            Action::Breaks => {
                self.left[BREAKS] -= 1;
                self.breaks(keeping);
            }
            Action::Replicates => self.replica = Some(self.server.clone()),
            Action::FailsOver => {
                self.left[FAILOVERS] -= 1;
                if let Some(replica) = self.replica.take() {
                    self.server.record = replica.record;
                }
                self.breaks(keeping);
            }
        }
    }

    fn sees(&mut self, keeping: Keeping, at: usize) {
        let Reader::Sees(token, version) = self.readers[at] else {
            return;
        };
        let mine = self.slot == Slot::Taken(token);
        match version {
            Some(version) if mine || keeping == Keeping::Blindly => self.slot = Slot::Filled(token, version),
            None if mine => self.slot = Slot::Empty,
            _ => {}
        }
        self.readers[at] = Reader::Idle;
    }

    fn writes(&mut self, request: &Request) {
        self.server.step(&TERMS, request);
        if std::mem::take(&mut self.registered) {
            self.pipe.push(Item::Push(self.server.past.version));
        }
    }

    /// What was on its way is lost; whose answer is lost reads again, and its slot is taken anew.
    fn breaks(&mut self, keeping: Keeping) {
        self.registered = false;
        self.pipe.clear();
        let filled = matches!(self.slot, Slot::Filled(..));
        match keeping {
            Keeping::AcrossBreaks => {}
            Keeping::OnlyFilled if !filled => {}
            _ => self.slot = Slot::Empty,
        }
        for reader in &mut self.readers {
            if let Reader::Answered(_) | Reader::Reads(_) = reader {
                *reader = Reader::Idle;
            }
        }
    }
}
