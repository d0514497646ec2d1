//! The model of one lock: callers, a server, a network that delays, reorders, duplicates and loses messages, and faults.
//!
//! A paused caller needs no action: the checker also explores the paths on which a caller takes no step for a while.

mod state;

use stateright::{Model, Property};

pub use self::state::State;
use self::state::{TAGS, distinct};
use crate::call::{Call, CallReply, CallRequest, Message, Running};
use crate::enabled;
use crate::liveness::Liveness;
use crate::server::Settings;

/// How often each fault may happen in one run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Faults {
    /// A request reaches the server twice.
    pub duplicates: u8,
    /// A request or a reply is lost, or is so late that the caller sends the request again.
    pub losses: u8,
    /// A body fails, or a caller is dropped.
    pub drops: u8,
    /// A process dies.
    pub crashes: u8,
    /// The key is deleted.
    pub deletes: u8,
    /// The server loses its data.
    pub restarts: u8,
    /// A replica with an earlier record becomes the server.
    pub failovers: u8,
    /// A Python worker acquires the lock unconditionally, and releases it unconditionally.
    pub python_writes: u8,
    /// A waiter takes over the state that it has seen.
    pub takeovers: u8,
    /// The heartbeat renews a lease. This is no fault, but each renewal multiplies the number of states.
    pub renewals: u8,
}

/// A lock and its callers.
#[derive(Debug, Clone)]
pub struct Lock {
    /// Number of calls.
    pub calls: usize,
    /// Parameters of their requests.
    pub settings: Settings,
    /// The possible faults.
    pub faults: Faults,
    /// After this tick the clock advances only if all callers wait for a lease to expire.
    pub horizon: u64,
    /// Whether the clock stops before a lease expires: every message and every body is fast enough.
    pub punctual: bool,
    /// Whether no ABORT overtakes an ACQUIRE of its call: one connection carries both.
    pub in_order: bool,
    /// Names of the properties to check.
    pub properties: &'static [&'static str],
}

/// One step of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// The next call starts.
    Start(usize),
    /// A request reaches the server.
    DeliverRequest(Message<CallRequest>, Delivery),
    /// A reply reaches its call.
    DeliverReply(Message<CallReply>),
    /// A request is lost.
    LoseRequest(Message<CallRequest>),
    /// A reply is lost.
    LoseReply(Message<CallReply>),
    /// A request of a call times out.
    TimeOut(usize),
    /// A waiter sends ACQUIRE again.
    Retry(usize),
    /// A waiter takes over the state that it has seen.
    TakeOver(usize),
    /// The heartbeat sends RENEW.
    Renew(usize),
    /// The body returns.
    Finish(usize),
    /// The body fails, or the caller is dropped.
    Drop(usize),
    /// The process dies.
    Crash(usize),
    /// The clock advances by a millisecond.
    Tick,
    /// The key is deleted.
    Delete,
    /// The server restarts without data.
    Restart,
    /// The replica receives the current record.
    Replicate,
    /// The replica becomes the server.
    FailOver,
    /// The Python worker acquires the lock.
    PythonAcquire,
    /// The Python worker releases the lock.
    PythonRelease,
}

/// Whether a delivered request stays in transit and reaches the server once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// The request is removed.
    Once,
    /// The request stays in transit.
    Duplicated,
}

/// Fences grow.
pub const FENCES: &str = "a fence is greater than every earlier fence";
/// A stale result is not published.
pub const PUBLISH: &str = "a stale result is never published over a newer one";
/// An invalidated result is not visible.
pub const VISIBLE: &str = "no visible value is older than an invalidation or than another result";
/// Mutual exclusion.
pub const EXCLUSION: &str = "at most one body runs at a time";
/// Computed once.
pub const ONCE: &str = "at most one body runs in total";
/// An assumption of the engine.
pub const POSSIBLE: &str = "no caller that sends ACQUIRE is told that it has published";

/// A lease is kept. Another program, or a DELETE, may end it.
pub const KEPT: &str = "no call is told that it has lost a lease that has not expired";
/// A result is kept.
pub const RESULT: &str = "a call that has ended removes no result";
/// A lock is freed.
pub const FREED: &str = "no call that has ended holds the lock, unless one of its requests is in transit";

/// Properties that hold under every fault but a failover.
pub const ALWAYS: &[&str] = &[FENCES, PUBLISH, VISIBLE, POSSIBLE];

impl Model for Lock {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.network_actions(state, actions);
        for at in 0..state.calls.len() {
            self.call_actions(state, at, actions);
        }
        self.server_actions(state, actions);
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        next.apply(self, action);
        next.remove_unawaited_replies();
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let all = [
            Property::always(FENCES, |_, state: &State| !state.server.history.fence_decreased),
            Property::always(PUBLISH, |_, state: &State| !state.server.history.stale_publish),
            Property::always(VISIBLE, |model: &Self, state: &State| {
                !state.server.history.stale_hit && state.server.shows_only_current_values(&model.settings)
            }),
            Property::always(EXCLUSION, |_, state: &State| {
                let tick = state.server.tick;
                state.calls.iter().filter(|call| call.holds_lock(tick)).count() <= 1
            }),
            Property::always(ONCE, |_, state: &State| state.bodies <= 1),
            Property::always(POSSIBLE, |_, state: &State| {
                !state.calls.contains(&Call::Impossible)
            }),
            Property::always(KEPT, |_, state: &State| !state.server.history.lost_lease),
            Property::always(RESULT, |_, state: &State| !state.server.history.removed_result),
            Property::always(FREED, |_, state: &State| {
                let is_held = |(call, tag): (&Call, &&str)| !call.is_armed() && state.server.is_held_by(tag);
                state.is_in_motion() || !state.calls.iter().zip(&TAGS).any(is_held)
            }),
        ];
        all.into_iter()
            .filter(|property| self.properties.contains(&property.name))
            .collect()
    }
}

impl Liveness for Lock {
    fn is_fault(&self, action: &Action) -> bool {
        use Action::{DeliverReply, DeliverRequest, Finish, Renew, Retry, Start, Tick, TimeOut};
        !matches!(
            action,
            Start(_)
                | DeliverRequest(_, Delivery::Once)
                | DeliverReply(_)
                | TimeOut(_)
                | Retry(_)
                | Renew(_)
                | Finish(_)
                | Tick
        )
    }

    fn is_done(&self, state: &State) -> bool {
        state.calls.iter().all(|call| *call == Call::Done)
    }
}

impl Lock {
    /// A lock with the default settings and the properties [`ALWAYS`].
    pub fn new(calls: usize, faults: Faults) -> Self {
        Self {
            calls,
            settings: Settings::DEFAULT,
            faults,
            horizon: 2,
            punctual: false,
            in_order: false,
            properties: ALWAYS,
        }
    }

    fn network_actions(&self, state: &State, actions: &mut Vec<Action>) {
        for request in distinct(&state.requests) {
            if self.in_order && state.is_behind_an_acquire(request) {
                continue;
            }
            actions.push(Action::DeliverRequest(request.clone(), Delivery::Once));
            if state.faults.duplicates > 0 {
                actions.push(Action::DeliverRequest(request.clone(), Delivery::Duplicated));
            }
            if state.faults.losses > 0 {
                actions.push(Action::LoseRequest(request.clone()));
            }
        }
        for reply in distinct(&state.replies) {
            actions.push(Action::DeliverReply(reply.clone()));
            if state.faults.losses > 0 {
                actions.push(Action::LoseReply(reply.clone()));
            }
        }
    }

    fn call_actions(&self, state: &State, at: usize, actions: &mut Vec<Action>) {
        let (call, faults) = (&state.calls[at], state.faults);
        match call {
            // New calls are interchangeable, so they start in order.
            Call::New => {
                if at == 0 || state.calls[at - 1] != Call::New {
                    actions.push(Action::Start(at));
                }
                return;
            }
            Call::Done | Call::Impossible => return,
            Call::Waiting { raw, .. } => {
                actions.push(Action::Retry(at));
                if faults.takeovers > 0 && !raw.is_empty() {
                    actions.push(Action::TakeOver(at));
                }
            }
            Call::Running(running) => {
                actions.push(Action::Finish(at));
                if running.renewal.is_none() && !running.lost && faults.renewals > 0 {
                    actions.push(Action::Renew(at));
                }
            }
            Call::Acquiring(_) | Call::Publishing { .. } => {}
        }
        if state.may_time_out(at) {
            actions.push(Action::TimeOut(at));
        }
        if faults.drops > 0 {
            actions.push(Action::Drop(at));
        }
        if faults.crashes > 0 {
            actions.push(Action::Crash(at));
        }
    }

    fn server_actions(&self, state: &State, actions: &mut Vec<Action>) {
        let faults = state.faults;
        let is_idle = |call: &Call| matches!(call, Call::New | Call::Waiting { .. } | Call::Done);
        let within_horizon =
            state.server.tick < self.horizon || state.server.will_expire() && state.calls.iter().all(is_idle);
        if within_horizon && !(self.punctual && state.calls.iter().any(|call| self.is_due(state, call))) {
            actions.push(Action::Tick);
        }
        actions.extend(enabled([
            (faults.deletes > 0, Action::Delete),
            (faults.restarts > 0, Action::Restart),
            (faults.failovers > 0 && state.replica.is_none(), Action::Replicate),
            (faults.failovers > 0 && state.replica.is_some(), Action::FailOver),
            (
                faults.python_writes > 0 && state.python.is_none(),
                Action::PythonAcquire,
            ),
            (state.python.is_some(), Action::PythonRelease),
        ]));
    }

    /// Whether the lease of this call expires at the next tick.
    fn is_due(&self, state: &State, call: &Call) -> bool {
        let deadline = match call {
            Call::Acquiring(acquiring) => acquiring.sent + self.settings.lease,
            Call::Running(Running { deadline, .. }) | Call::Publishing { deadline, .. } => *deadline,
            Call::New | Call::Waiting { .. } | Call::Done | Call::Impossible => return false,
        };
        state.server.tick + 1 >= deadline
    }
}
