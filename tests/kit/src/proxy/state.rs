//! The state that all connections of a proxy share.

use std::net::TcpStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use super::rules::Rules;
use super::types::End;

#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    pub(super) changed: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) server: u16,
    pub(super) trips: Vec<Vec<String>>,
    pub(super) open: Vec<Open>,
    pub(super) connections: usize,
    pub(super) attempts: usize,
    /// The number of connections from which on new ones are refused.
    pub(super) max_connections: Option<usize>,
    /// The bytes of all replies and pushes.
    pub(super) replied: usize,
    pub(super) requests_stalled: bool,
    pub(super) replies_stalled: bool,
    pub(super) pushes_dropped: bool,
    pub(super) rules: Rules,
    pub(super) delay: Delay,
    pub(super) closed: bool,
}

/// How long requests and replies are delayed.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Delay {
    pub(super) request: Duration,
    pub(super) reply: Duration,
    /// The maximum of a random delay that is added to each.
    pub(super) jitter: Duration,
}

/// The two streams of a connection, and how it ends.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) client: TcpStream,
    pub(super) server: TcpStream,
    pub(super) end: Arc<Mutex<End>>,
}

impl State {
    pub(super) fn is_full(&self) -> bool {
        self.max_connections.is_some_and(|max| self.connections >= max)
    }
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("the mutex is not poisoned")
    }

    /// Waits while `stalled` holds.
    pub(super) fn pass(&self, stalled: impl Fn(&State) -> bool) {
        let state = self.state();
        drop(
            self.changed
                .wait_while(state, |state| stalled(state) && !state.closed),
        );
    }

    /// Changes the state and wakes all waiting threads.
    pub(super) fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }
}
