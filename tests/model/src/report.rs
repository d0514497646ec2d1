//! Runs a model and says what came out: how many states, how deep, and whether each promise holds.

use std::fmt::Debug;
use std::hash::Hash;
use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model};

use crate::finish::{Finishes, explore};

/// What a checker asks of a state.
pub trait Visited: Clone + PartialEq + Hash + Debug + Send + Sync + 'static {}
impl<T: Clone + PartialEq + Hash + Debug + Send + Sync + 'static> Visited for T {}

/// What a checker asks of an action.
pub trait Taken: Clone + PartialEq + Debug + Send + Sync + 'static {}
impl<T: Clone + PartialEq + Debug + Send + Sync + 'static> Taken for T {}

/// Every promise of the model holds in every state.
///
/// # Panics
///
/// Where one does not: the message shows the shortest way there.
pub fn holds<M>(name: &str, model: M)
where
    M: Model<State: Visited, Action: Taken> + Send + Sync + 'static,
{
    let begun = Instant::now();
    let promises: Vec<_> = model.properties().iter().map(|property| property.name).collect();
    assert!(!promises.is_empty(), "{name}: nothing is promised");
    let checker = model
        .checker()
        .threads(2)
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    if let Some((promise, path)) = checker.discoveries().into_iter().next() {
        let way = path.into_actions();
        panic!(
            "{name}: it is not true that {promise}, after {} actions:\n{way:#?}",
            way.len()
        );
    }
    println!(
        "{name}: {} states, {} transitions, depth {}, {:.1?}; in every state: {}",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        begun.elapsed(),
        promises.join("; ")
    );
}

/// A counterexample to `promise` is found.
///
/// # Panics
///
/// Where there is none.
pub fn breaks<M>(name: &str, model: M, promise: &'static str)
where
    M: Model<State: Visited, Action: Taken> + Send + Sync + 'static,
{
    let checker = model
        .checker()
        .threads(2)
        .finish_when(HasDiscoveries::AllOf([promise].into()))
        .spawn_bfs()
        .join();
    let Some(path) = checker.discovery(promise) else {
        panic!(
            "{name}: {promise}, in all {} states",
            checker.unique_state_count()
        );
    };
    println!(
        "{name}: it is not true that {promise}, found after {} states:",
        checker.unique_state_count()
    );
    for action in path.into_actions() {
        println!("    {action:?}");
    }
}

/// From every state all callers can come to an end, and no fault is needed for it.
///
/// # Panics
///
/// Where they cannot: the message shows the shortest way to where they are stuck.
pub fn finishes<M>(name: &str, model: &M)
where
    M: Finishes<State: Hash, Action: Taken>,
{
    let begun = Instant::now();
    let graph = explore(model);
    if let Some(way) = graph.stuck {
        panic!("{name}: somebody is stuck after {} actions:\n{way:#?}", way.len());
    }
    println!(
        "{name}: {} states, {:.1?}; from every state all callers can finish",
        graph.states,
        begun.elapsed()
    );
}

/// Each fault once more.
pub fn is_long() -> bool {
    std::env::var_os("DSPINLOCK_LONG").is_some()
}
