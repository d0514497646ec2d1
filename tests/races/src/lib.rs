//! The rooms of the runtime that threads share (`flight`, `near`, `lease`, `heart`, and the watches of pushes), compiled from
//! the very files that ship, with the primitives of a scheduler in the place of std's and tokio's. `scenarios` has what
//! the tests run under it.
//!
//! What the rooms stand on is made small here: a store of one record, a clock that moves when it is told, tasks.

// The files of the runtime are used in part only.
#![allow(dead_code, missing_docs, unreachable_pub)]

pub use dspinlock_runtime::{error, key, protocol, value};

pub mod background;
pub mod blocking;
pub mod clock;
pub mod lock;
pub mod pool;
pub mod scenarios;
pub mod sync;

pub mod store {
    pub use dspinlock_runtime::store::Listener;
}

#[path = "../../../dspinlock-runtime/src/claim.rs"]
pub mod claim;
#[path = "../../../dspinlock-runtime/src/flight.rs"]
pub mod flight;
#[path = "../../../dspinlock-runtime/src/heart.rs"]
pub mod heart;
#[path = "../../../dspinlock-runtime/src/lease.rs"]
pub mod lease;
#[path = "../../../dspinlock-runtime/src/near.rs"]
pub mod near;
#[path = "../../../dspinlock-runtime/src/store/redis/tracking.rs"]
pub mod tracking;
