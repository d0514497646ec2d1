//! Models of the lock protocol for the model checker `stateright`.
//!
//! The server of each model runs the library's own `protocol::step`. The callers, the network and the faults are
//! written here. A caller behaves like the engine, the lease and the near cache of the library.
//!
//! | module | the model |
//! |---|---|
//! | `lock` | one lock and its callers, under every fault |
//! | `wake` | callers that wait for a push |
//! | `near` | near-cache entries, which pushes invalidate |
//!
//! The tests in `tests/` choose the parameters and the properties.

pub mod call;
pub mod interned;
pub mod liveness;
pub mod lock;
pub mod mutation;
pub mod near;
pub mod report;
pub mod server;
pub mod wake;

/// The actions whose condition is true.
fn enabled<A, const N: usize>(actions: [(bool, A); N]) -> impl Iterator<Item = A> {
    actions
        .into_iter()
        .filter_map(|(is_enabled, action)| is_enabled.then_some(action))
}
