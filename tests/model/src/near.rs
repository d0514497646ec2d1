//! The model of a near cache. Two calls of one process read a key, other processes write it, and pushes invalidate the
//! entry.
//!
//! Replies and pushes arrive on one connection, in order. A reader may process its reply later than the connection
//! processes a push that arrived after it.

use dspinlock_runtime::internals::protocol::{Read, Reply, Request};
use stateright::{Model, Property};

use crate::enabled;
use crate::server::{Server, Settings, version};

/// The near cache of the library, and mutations of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// The near cache of the library.
    Shipped,
    /// A reply is stored even if its placeholder was removed.
    StoresWithoutPlaceholder,
    /// A lost connection removes nothing.
    KeepsAllOnDisconnect,
    /// A lost connection removes the entry and keeps a placeholder.
    KeepsPlaceholderOnDisconnect,
}

/// One process with a near cache.
#[derive(Debug, Clone)]
pub struct Near {
    /// How often the key is computed.
    pub results: u8,
    /// How often the key is deleted.
    pub deletes: u8,
    /// How often the connection is lost.
    pub disconnects: u8,
    /// How often a replica with an earlier record becomes the server.
    pub failovers: u8,
    /// The near cache.
    pub variant: Variant,
}

/// State of a call that reads. Each read has a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Reader {
    Idle,
    /// The placeholder is set, and the request is in transit.
    Requested(u8),
    /// The reply is in transit.
    Replied(u8),
    /// The reply has arrived. It contains this version.
    Received(u8, Option<u8>),
}

/// The key's slot in the near cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Slot {
    Empty,
    /// A read with this token may store its reply.
    Placeholder(u8),
    /// Version of the entry.
    Entry(u8),
}

/// A message from the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Message {
    /// The reply to a reader.
    Reply(usize, Option<u8>),
    /// An invalidation, with the number of DELETEs that the server has processed.
    Push(u8),
}

/// State of the process, its connection and the server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    server: Server,
    replica: Option<Server>,
    readers: [Reader; 2],
    slot: Slot,
    /// The last token.
    token: u8,
    /// Whether the server tracks the key for this connection.
    tracked: bool,
    /// Messages in transit, in order.
    pipe: Vec<Message>,
    /// Number of DELETEs that the process has been notified of.
    notified: u8,
    /// How often each write or fault may still happen.
    remaining: [u8; 4],
}

/// One step of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A reader sets the placeholder and sends READ.
    Request(usize),
    /// READ reaches the server, which tracks the key from then on.
    Serve(usize),
    /// The first message in transit arrives.
    Arrive,
    /// The reader processes its reply.
    Receive(usize),
    /// Another process acquires the lock.
    Acquire,
    /// The other process publishes.
    Publish,
    /// Another process deletes the key.
    Delete,
    /// The connection is lost.
    Disconnect,
    /// The replica receives the current record.
    Replicate,
    /// The replica becomes the server. The connection is lost.
    FailOver,
}

/// The entry respects the invalidations.
pub const ENTRY_IS_CURRENT: &str = "no entry is older than an invalidation that the process was notified of";
/// An outdated entry is removed.
pub const ENTRY_IS_REMOVED: &str =
    "an entry that differs from the server's value is removed by a push in transit";
/// The server respects the invalidations.
pub const SERVER_IS_CURRENT: &str =
    "no value of the server is older than an invalidation that the process was notified of";

const SETTINGS: Settings = Settings::DEFAULT;

// Indexes of `State::remaining`.
const DELETES: usize = 0;
const RESULTS: usize = 1;
const DISCONNECTS: usize = 2;
const FAILOVERS: usize = 3;

/// Bound on the number of reads in a run.
const MAX_READS: u8 = 4;

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
            tracked: false,
            pipe: Vec::new(),
            notified: 0,
            remaining: [self.deletes, self.results, self.disconnects, self.failovers],
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (at, reader) in state.readers.iter().enumerate() {
            match reader {
                Reader::Idle if state.token < MAX_READS => actions.push(Action::Request(at)),
                Reader::Requested(_) => actions.push(Action::Serve(at)),
                Reader::Received(..) => actions.push(Action::Receive(at)),
                Reader::Idle | Reader::Replied(_) => {}
            }
        }
        let is_blocked = state.server.is_blocked();
        let (remaining, has_replica) = (state.remaining, state.replica.is_some());
        actions.extend(enabled([
            (!state.pipe.is_empty(), Action::Arrive),
            (remaining[RESULTS] > 0 && !is_blocked, Action::Acquire),
            (is_blocked, Action::Publish),
            (remaining[DELETES] > 0, Action::Delete),
            (remaining[DISCONNECTS] > 0, Action::Disconnect),
            (remaining[FAILOVERS] > 0 && !has_replica, Action::Replicate),
            (remaining[FAILOVERS] > 0 && has_replica, Action::FailOver),
        ]));
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        next.apply(self.variant, action);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ENTRY_IS_CURRENT, |_, state: &State| {
                state.entry().is_none_or(|entry| entry >= state.notified)
            }),
            Property::always(ENTRY_IS_REMOVED, |_, state: &State| {
                let push_in_transit = state
                    .pipe
                    .iter()
                    .any(|message| matches!(message, Message::Push(_)));
                state.entry().is_none() || state.entry() == state.server_value() || push_in_transit
            }),
            Property::always(SERVER_IS_CURRENT, |_, state: &State| {
                state.server_value().is_none_or(|value| value >= state.notified)
            }),
        ]
    }
}

impl State {
    /// The version that a call of this process would return.
    fn entry(&self) -> Option<u8> {
        match self.slot {
            Slot::Entry(version) => Some(version),
            _ => None,
        }
    }

    /// The version that the server would return.
    fn server_value(&self) -> Option<u8> {
        let mut server = self.server.clone();
        let read = Read { bound: usize::MAX };
        match server.step(&SETTINGS, &Request::Read(read)) {
            Reply::Hit(value, _) => Some(version(value.payload())),
            _ => None,
        }
    }

    fn apply(&mut self, variant: Variant, action: Action) {
        match action {
            Action::Request(at) => {
                self.token += 1;
                self.slot = Slot::Placeholder(self.token);
                self.readers[at] = Reader::Requested(self.token);
            }
            Action::Serve(at) => {
                if let Reader::Requested(token) = self.readers[at] {
                    self.readers[at] = Reader::Replied(token);
                    self.tracked = true;
                    self.pipe.push(Message::Reply(at, self.server_value()));
                }
            }
            Action::Arrive => match self.pipe.remove(0) {
                Message::Reply(at, version) => {
                    if let Reader::Replied(token) = self.readers[at] {
                        self.readers[at] = Reader::Received(token, version);
                    }
                }
                Message::Push(notified) => {
                    self.notified = self.notified.max(notified);
                    self.slot = Slot::Empty;
                }
            },
            Action::Receive(at) => self.receive(variant, at),
            Action::Acquire => {
                self.remaining[RESULTS] -= 1;
                self.write(&SETTINGS.acquire("a", None));
            }
            Action::Publish => {
                let fence = self.server.fence().unwrap_or_default();
                self.write(&SETTINGS.publish("a", fence, self.server.history.version, false));
            }
            Action::Delete => {
                self.remaining[DELETES] -= 1;
                self.write(&Request::Delete);
            }
            Action::Disconnect => {
                self.remaining[DISCONNECTS] -= 1;
                self.disconnect(variant);
            }
            Action::Replicate => self.replica = Some(self.server.clone()),
            Action::FailOver => {
                self.remaining[FAILOVERS] -= 1;
                if let Some(replica) = self.replica.take() {
                    self.server.entry = replica.entry;
                }
                self.disconnect(variant);
            }
        }
    }

    fn receive(&mut self, variant: Variant, at: usize) {
        let Reader::Received(token, version) = self.readers[at] else {
            return;
        };
        let has_placeholder = self.slot == Slot::Placeholder(token);
        match version {
            Some(version) if has_placeholder || variant == Variant::StoresWithoutPlaceholder => {
                self.slot = Slot::Entry(version);
            }
            None if has_placeholder => self.slot = Slot::Empty,
            _ => {}
        }
        self.readers[at] = Reader::Idle;
    }

    /// Runs a step of another process. The server sends one push if it tracks the key.
    fn write(&mut self, request: &Request) {
        self.server.step(&SETTINGS, request);
        if std::mem::take(&mut self.tracked) {
            self.pipe.push(Message::Push(self.server.history.version));
        }
    }

    /// Drops the messages in transit. A reader whose reply is lost reads again.
    fn disconnect(&mut self, variant: Variant) {
        self.tracked = false;
        self.pipe.clear();
        match variant {
            Variant::KeepsAllOnDisconnect => {}
            Variant::KeepsPlaceholderOnDisconnect if self.entry().is_none() => {}
            _ => self.slot = Slot::Empty,
        }
        for reader in &mut self.readers {
            if let Reader::Replied(_) | Reader::Requested(_) = reader {
                *reader = Reader::Idle;
            }
        }
    }
}
