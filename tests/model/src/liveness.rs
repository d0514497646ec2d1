//! The liveness check: from every reachable state, a state in which all callers are done can be reached without a fault.
//!
//! It explores the whole graph forwards and then walks it backwards from the final states. `eventually` of stateright
//! cannot be used: it misses cycles, and it does not distinguish a fault from a step that will happen.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use stateright::Model;

/// A model whose callers must be able to finish.
pub trait Liveness: Model {
    /// Whether the action is a fault. A caller must not depend on it.
    fn is_fault(&self, action: &Self::Action) -> bool;

    /// Whether all callers are done.
    fn is_done(&self, state: &Self::State) -> bool;
}

/// Result of [`explore`].
#[derive(Debug)]
pub struct Graph<A> {
    /// Number of states.
    pub states: usize,
    /// Shortest path to a state from which no final state can be reached without a fault.
    pub stuck: Option<Vec<A>>,
}

/// Visits every state of the model, and then every state from which a final state can be reached.
pub fn explore<M>(model: &M) -> Graph<M::Action>
where
    M: Liveness<State: Hash, Action: Clone>,
{
    let mut visited = Visited::default();
    let (mut edges, mut done, mut queue) = (Vec::new(), Vec::new(), VecDeque::new());
    for state in model.init_states() {
        let (id, _) = visited.insert(&state, None);
        queue.push_back((id, state));
    }
    let mut actions = Vec::new();
    while let Some((from, state)) = queue.pop_front() {
        if model.is_done(&state) {
            done.push(from);
        }
        model.actions(&state, &mut actions);
        for action in actions.drain(..) {
            let Some(next) = model.next_state(&state, action.clone()) else {
                continue;
            };
            let is_fault = model.is_fault(&action);
            let (to, is_new) = visited.insert(&next, Some((from, action)));
            if !is_fault {
                edges.push((to, from));
            }
            if is_new {
                queue.push_back((to, next));
            }
        }
    }
    let is_live = reachable(&done, edges, visited.parents.len());
    let stuck = is_live.iter().position(|is_live| !is_live);
    Graph {
        states: visited.parents.len(),
        stuck: stuck.map(|id| visited.path_to(id)),
    }
}

/// The visited states by their hashes. Each has the state and the action from which it was reached first.
struct Visited<A> {
    ids: HashMap<u64, u32>,
    parents: Vec<Option<(u32, A)>>,
}

impl<A> Default for Visited<A> {
    fn default() -> Self {
        Self {
            ids: HashMap::new(),
            parents: Vec::new(),
        }
    }
}

impl<A: Clone> Visited<A> {
    /// Returns the id of the state, and whether the state is new.
    fn insert(&mut self, state: &impl Hash, parent: Option<(u32, A)>) -> (u32, bool) {
        let mut hasher = DefaultHasher::new();
        state.hash(&mut hasher);
        let next = u32::try_from(self.parents.len()).expect("fewer than 2^32 states");
        let id = *self.ids.entry(hasher.finish()).or_insert(next);
        if id == next {
            self.parents.push(parent);
        }
        (id, id == next)
    }

    fn path_to(&self, id: usize) -> Vec<A> {
        let mut path = Vec::new();
        let mut id = id;
        while let Some((parent, action)) = &self.parents[id] {
            path.push(action.clone());
            id = *parent as usize;
        }
        path.reverse();
        path
    }
}

/// For each state, whether the reversed `edges` lead to it from one of `starts`.
fn reachable(starts: &[u32], mut edges: Vec<(u32, u32)>, states: usize) -> Vec<bool> {
    edges.sort_unstable();
    let mut is_reached = vec![false; states];
    let mut queue = starts.to_vec();
    starts.iter().for_each(|id| is_reached[*id as usize] = true);
    while let Some(id) = queue.pop() {
        let first = edges.partition_point(|(to, _)| *to < id);
        for (_, from) in edges[first..].iter().take_while(|(to, _)| *to == id) {
            if !std::mem::replace(&mut is_reached[*from as usize], true) {
                queue.push(*from);
            }
        }
    }
    is_reached
}
