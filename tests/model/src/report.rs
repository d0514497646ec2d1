//! Assertions of the tests. Each runs a model and prints the number of states, the duration and the properties.

use std::fmt::Debug;
use std::hash::Hash;
use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model};

use crate::liveness::{Liveness, explore};

/// The bounds of the checker on a state.
pub trait CheckedState: Clone + PartialEq + Hash + Debug + Send + Sync + 'static {}
impl<T: Clone + PartialEq + Hash + Debug + Send + Sync + 'static> CheckedState for T {}

/// The bounds of the checker on an action.
pub trait CheckedAction: Clone + PartialEq + Debug + Send + Sync + 'static {}
impl<T: Clone + PartialEq + Debug + Send + Sync + 'static> CheckedAction for T {}

/// Asserts that every property of the model holds in every state.
///
/// # Panics
///
/// If a property is violated. The message contains the shortest path to the violation.
pub fn assert_holds<M>(name: &str, model: M)
where
    M: Model<State: CheckedState, Action: CheckedAction> + Send + Sync + 'static,
{
    let started = Instant::now();
    let properties: Vec<_> = model.properties().iter().map(|property| property.name).collect();
    assert!(!properties.is_empty(), "{name}: the model has no properties");
    let checker = model
        .checker()
        .threads(2)
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    if let Some((property, path)) = checker.discoveries().into_iter().next() {
        let path = path.into_actions();
        panic!(
            "{name}: violated after {} actions: {property}\n{path:#?}",
            path.len()
        );
    }
    println!(
        "{name}: {} states, {} transitions, depth {}, {:.1?}; always: {}",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        started.elapsed(),
        properties.join("; ")
    );
}

/// Asserts that the checker finds a violation of `property`.
///
/// # Panics
///
/// If the property holds in every state.
pub fn assert_violated<M>(name: &str, model: M, property: &'static str)
where
    M: Model<State: CheckedState, Action: CheckedAction> + Send + Sync + 'static,
{
    let checker = model
        .checker()
        .threads(2)
        .finish_when(HasDiscoveries::AllOf([property].into()))
        .spawn_bfs()
        .join();
    let states = checker.unique_state_count();
    let Some(path) = checker.discovery(property) else {
        panic!("{name}: not violated in any of {states} states: {property}");
    };
    println!("{name}: violated after {states} states: {property}");
    for action in path.into_actions() {
        println!("    {action:?}");
    }
}

/// Asserts that all callers can finish from every state without a fault.
///
/// # Panics
///
/// If a state is stuck. The message contains the shortest path to it.
pub fn assert_live<M>(name: &str, model: &M)
where
    M: Liveness<State: Hash, Action: CheckedAction>,
{
    let started = Instant::now();
    let graph = explore(model);
    if let Some(path) = graph.stuck {
        panic!(
            "{name}: a caller is stuck after {} actions:\n{path:#?}",
            path.len()
        );
    }
    println!(
        "{name}: {} states, {:.1?}; all callers can finish from every state",
        graph.states,
        started.elapsed()
    );
}

/// Asserts that some state is stuck.
///
/// # Panics
///
/// If all callers can finish from every state.
pub fn assert_stuck<M>(name: &str, model: &M)
where
    M: Liveness<State: Hash, Action: CheckedAction>,
{
    let graph = explore(model);
    let states = graph.states;
    let Some(path) = graph.stuck else {
        panic!("{name}: all callers can finish from each of {states} states");
    };
    println!("{name}: a caller is stuck after {} actions", path.len());
}

/// Whether each fault may happen once more (`DSPINLOCK_LONG` is set).
pub fn is_long() -> bool {
    std::env::var_os("DSPINLOCK_LONG").is_some()
}
