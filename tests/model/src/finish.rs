//! Can everybody always come to an end? Asked of the whole graph of states, backwards from the states in which all have.
//!
//! stateright's own `eventually` overlooks cycles and joins of paths, and cannot tell a fault from a step that is owed.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use stateright::Model;

/// A model in which something is to come to an end.
pub trait Finishes: Model {
    /// This action helps nobody: it may happen or not.
    fn is_fault(&self, action: &Self::Action) -> bool;

    /// All have come to an end.
    fn is_over(&self, state: &Self::State) -> bool;
}

/// What was found.
#[derive(Debug)]
pub struct Graph<A> {
    /// How many states there are.
    pub states: usize,
    /// The shortest way to a state from which the end cannot be reached without a fault.
    pub stuck: Option<Vec<A>>,
}

/// Visits every state, then goes back from the ends.
pub fn explore<M>(model: &M) -> Graph<M::Action>
where
    M: Finishes<State: Hash, Action: Clone>,
{
    let mut known = Known::default();
    let (mut edges, mut ends, mut ahead) = (Vec::new(), Vec::new(), VecDeque::new());
    for state in model.init_states() {
        let (at, _) = known.enter(&state, None);
        ahead.push_back((at, state));
    }
    let mut actions = Vec::new();
    while let Some((from, state)) = ahead.pop_front() {
        if model.is_over(&state) {
            ends.push(from);
        }
        model.actions(&state, &mut actions);
        for action in actions.drain(..) {
            let Some(next) = model.next_state(&state, action.clone()) else {
                continue;
            };
            let fault = model.is_fault(&action);
            let (to, is_new) = known.enter(&next, Some((from, action)));
            if !fault {
                edges.push((to, from));
            }
            if is_new {
                ahead.push_back((to, next));
            }
        }
    }
    let finishes = reached_from(&ends, edges, known.from.len());
    let stuck = finishes.iter().position(|finishes| !finishes);
    Graph {
        states: known.from.len(),
        stuck: stuck.map(|at| known.way_to(at)),
    }
}

/// The states so far, by their hashes, and how each was come to first.
struct Known<A> {
    numbers: HashMap<u64, u32>,
    from: Vec<Option<(u32, A)>>,
}

impl<A> Default for Known<A> {
    fn default() -> Self {
        Self {
            numbers: HashMap::new(),
            from: Vec::new(),
        }
    }
}

impl<A: Clone> Known<A> {
    fn enter(&mut self, state: &impl Hash, from: Option<(u32, A)>) -> (u32, bool) {
        let mut hasher = DefaultHasher::new();
        state.hash(&mut hasher);
        let next = u32::try_from(self.from.len()).expect("four billion states are too many");
        let number = *self.numbers.entry(hasher.finish()).or_insert(next);
        if number == next {
            self.from.push(from);
        }
        (number, number == next)
    }

    fn way_to(&self, at: usize) -> Vec<A> {
        let mut way = Vec::new();
        let mut at = at;
        while let Some((from, action)) = &self.from[at] {
            way.push(action.clone());
            at = *from as usize;
        }
        way.reverse();
        way
    }
}

/// Which states are reached over these edges.
fn reached_from(ends: &[u32], mut edges: Vec<(u32, u32)>, states: usize) -> Vec<bool> {
    edges.sort_unstable();
    let mut reached = vec![false; states];
    let mut ahead = ends.to_vec();
    ends.iter().for_each(|at| reached[*at as usize] = true);
    while let Some(at) = ahead.pop() {
        let first = edges.partition_point(|(to, _)| *to < at);
        for (_, from) in edges[first..].iter().take_while(|(to, _)| *to == at) {
            if !std::mem::replace(&mut reached[*from as usize], true) {
                ahead.push(*from);
            }
        }
    }
    reached
}
