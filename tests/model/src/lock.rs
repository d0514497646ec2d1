//! The model of one lock: some callers, a server, a network that delays, reorders, doubles and loses, and every fault.
//!
//! A caller that is stopped and goes on later is one whose turn does not come for a while, so that needs no action of
//! its own.

mod state;

use stateright::{Model, Property};

pub use self::state::State;
use self::state::distinct;
use crate::call::{Answer, Ask, Call, Message, Runs};
use crate::finish::Finishes;
use crate::rule::Rule;
use crate::server::{FOR_EVER, Terms};

/// How often each fault may happen in one run of the model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Faults {
    /// A request reaches the server twice.
    pub doubles: u8,
    /// A request or its answer is lost, or so late that its caller sends it again.
    pub losses: u8,
    /// A body fails, or a caller goes away.
    pub drops: u8,
    /// A process dies.
    pub crashes: u8,
    /// DELETE.
    pub deletes: u8,
    /// The server forgets everything.
    pub restarts: u8,
    /// The server is replaced by one that knows an earlier record.
    pub failovers: u8,
    /// A Python worker takes the lock without looking, and releases it so.
    pub pythons: u8,
    /// A waiter judges the state that it saw stale.
    pub takeovers: u8,
    /// No fault, but each multiplies the states: a heartbeat.
    pub beats: u8,
}

/// A lock and its callers.
#[derive(Debug, Clone)]
pub struct Lock {
    /// How many calls there are.
    pub calls: usize,
    /// What they ask for.
    pub terms: Terms,
    /// Faults.
    pub faults: Faults,
    /// The tick after which time goes on only to end a lease.
    pub horizon: u64,
    /// Time goes on only while every lease is kept: no message and no body takes longer than that.
    pub punctual: bool,
    /// What must be true.
    pub promises: &'static [&'static str],
}

/// What happens next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// The next call begins.
    Begins(usize),
    /// A request reaches the server, and is seen again where it says so.
    Reaches(Message<Ask>, Again),
    /// An answer reaches its call.
    Answers(Message<Answer>),
    /// A request is lost.
    LosesRequest(Message<Ask>),
    /// An answer is lost.
    LosesAnswer(Message<Answer>),
    /// A call has waited too long for an answer.
    TimesOut(usize),
    /// A waiter looks again.
    Looks(usize),
    /// A waiter takes over what it judges stale.
    TakesOver(usize),
    /// The heartbeat renews.
    Beats(usize),
    /// The body is done.
    Finishes(usize),
    /// The body fails, or the caller goes away.
    Drops(usize),
    /// The process dies.
    Crashes(usize),
    /// A millisecond is over.
    Ticks,
    /// The key is deleted.
    Deletes,
    /// The server restarts without data.
    Restarts,
    /// The replica is up to date.
    Replicates,
    /// The replica becomes the server.
    FailsOver,
    /// The Python worker takes the lock.
    PythonTakes,
    /// The Python worker releases it.
    PythonReleases,
}

/// Whether a request stays on its way after it has reached the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// It does.
    Yes,
    /// It does not.
    No,
}

/// Fences are unique and grow.
pub const FENCES: &str = "a fence is greater than all before";
/// No stale publish.
pub const PUBLISH: &str = "no stale result is kept over a newer one";
/// Nothing old is visible.
pub const VISIBLE: &str = "no visible value is older than an invalidation or another result";
/// Exclusion.
pub const ALONE: &str = "one body at a time";
/// Computed once.
pub const ONCE: &str = "one body in all";
/// What the engine relies on.
pub const POSSIBLE: &str = "no caller is told that it has published what it asks for";

/// What holds whatever happens.
pub const ALWAYS: &[&str] = &[FENCES, PUBLISH, VISIBLE, POSSIBLE];

impl Model for Lock {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.messages(state, actions);
        for at in 0..state.calls.len() {
            self.steps(state, at, actions);
        }
        self.happenings(state, actions);
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        next.take(self, action);
        next.forget_unheard();
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let all = [
            Property::always(FENCES, |_, state: &State| !state.server.past.fence_fell),
            Property::always(PUBLISH, |_, state: &State| !state.server.past.stale_publish),
            Property::always(VISIBLE, |model: &Self, state: &State| {
                !state.server.past.old_hit && state.server.shows_only_what_is_current(&model.terms)
            }),
            Property::always(ALONE, |_, state: &State| {
                let tick = state.server.tick;
                state.calls.iter().filter(|call| call.holds(tick)).count() <= 1
            }),
            Property::always(ONCE, |_, state: &State| state.bodies <= 1),
            Property::always(POSSIBLE, |_, state: &State| {
                !state.calls.contains(&Call::Impossible)
            }),
        ];
        all.into_iter()
            .filter(|property| self.promises.contains(&property.name))
            .collect()
    }
}

impl Finishes for Lock {
    fn is_fault(&self, action: &Action) -> bool {
        use Action::{Answers, Beats, Begins, Finishes, Looks, Reaches, Ticks, TimesOut};
        !matches!(
            action,
            Begins(_)
                | Reaches(_, Again::No)
                | Answers(_)
                | TimesOut(_)
                | Looks(_)
                | Beats(_)
                | Finishes(_)
                | Ticks
        )
    }

    fn is_over(&self, state: &State) -> bool {
        state.calls.iter().all(|call| *call == Call::Over)
    }
}

impl Lock {
    /// The shipped protocol; a lease of one tick, results that stay.
    pub fn new(calls: usize, faults: Faults) -> Self {
        Self {
            calls,
            terms: Terms {
                rule: Rule::Shipped,
                lease: 1,
                ttl: FOR_EVER,
                cached: true,
                shared: false,
            },
            faults,
            horizon: 2,
            punctual: false,
            promises: ALWAYS,
        }
    }

    fn messages(&self, state: &State, actions: &mut Vec<Action>) {
        for request in distinct(&state.requests) {
            actions.push(Action::Reaches(request.clone(), Again::No));
            if state.left.doubles > 0 {
                actions.push(Action::Reaches(request.clone(), Again::Yes));
            }
            if state.left.losses > 0 {
                actions.push(Action::LosesRequest(request.clone()));
            }
        }
        for answer in distinct(&state.answers) {
            actions.push(Action::Answers(answer.clone()));
            if state.left.losses > 0 {
                actions.push(Action::LosesAnswer(answer.clone()));
            }
        }
    }

    fn steps(&self, state: &State, at: usize, actions: &mut Vec<Action>) {
        let (call, left) = (&state.calls[at], state.left);
        match call {
            // Calls that have not begun are all alike: they begin in order.
            Call::New => {
                if at == 0 || state.calls[at - 1] != Call::New {
                    actions.push(Action::Begins(at));
                }
                return;
            }
            Call::Over | Call::Impossible => return,
            Call::Waits { raw, .. } => {
                actions.push(Action::Looks(at));
                if left.takeovers > 0 && !raw.is_empty() {
                    actions.push(Action::TakesOver(at));
                }
            }
            Call::Runs(runs) => {
                actions.push(Action::Finishes(at));
                if runs.beat.is_none() && !runs.lost && left.beats > 0 {
                    actions.push(Action::Beats(at));
                }
            }
            Call::Asks(_) | Call::Publishes { .. } => {}
        }
        if state.may_time_out(at) {
            actions.push(Action::TimesOut(at));
        }
        if left.drops > 0 {
            actions.push(Action::Drops(at));
        }
        if left.crashes > 0 {
            actions.push(Action::Crashes(at));
        }
    }

    fn happenings(&self, state: &State, actions: &mut Vec<Action>) {
        let left = state.left;
        // Beyond the horizon time helps only where all wait for the end of a lease.
        let idle = |call: &Call| matches!(call, Call::New | Call::Waits { .. } | Call::Over);
        let in_time =
            state.server.tick < self.horizon || state.server.will_lapse() && state.calls.iter().all(idle);
        if in_time && !(self.punctual && state.calls.iter().any(|call| self.is_due(state, call))) {
            actions.push(Action::Ticks);
        }
        let possible = [
            (left.deletes > 0, Action::Deletes),
            (left.restarts > 0, Action::Restarts),
            (left.failovers > 0 && state.replica.is_none(), Action::Replicates),
            (left.failovers > 0 && state.replica.is_some(), Action::FailsOver),
            (left.pythons > 0 && state.python.is_none(), Action::PythonTakes),
            (state.python.is_some(), Action::PythonReleases),
        ];
        actions.extend(
            possible
                .into_iter()
                .filter(|(may, _)| *may)
                .map(|(_, action)| action),
        );
    }

    /// The next tick would end this call's lease.
    fn is_due(&self, state: &State, call: &Call) -> bool {
        let deadline = match call {
            Call::Asks(asks) => asks.sent + self.terms.lease,
            Call::Runs(Runs { deadline, .. }) | Call::Publishes { deadline, .. } => *deadline,
            Call::New | Call::Waits { .. } | Call::Over | Call::Impossible => return false,
        };
        state.server.tick + 1 >= deadline
    }
}
