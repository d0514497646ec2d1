//! The modules of the runtime that threads share (`lease`, `flight`, `near_cache`, the watches of pushes and the turns of a driver), compiled from
//! the files that ship, with the primitives of a scheduler instead of those of std and tokio.
//!
//! What these modules import is replaced by small versions: a store of one record, a clock that moves when a test moves it,
//! and tasks. `scenarios` has what the tests run under the scheduler.

// The shipped files are used in part only.
#![allow(dead_code, missing_docs, unreachable_pub)]

pub use dspinlock_runtime::internals::{key, protocol};

pub mod clock;
pub mod pool;
pub mod rt;
pub mod scenarios;

pub mod store {
    pub use dspinlock_runtime::internals::store::Listener;

    pub mod api {
        pub use dspinlock_runtime::internals::store::Listener;
    }
}

#[path = "../../../dspinlock-runtime/src"]
mod shipped {
    pub mod error;
    pub mod lease;
    pub mod options;
}

#[path = "../../../dspinlock-runtime/src/store/redis/tracking.rs"]
pub mod tracking;

#[path = "../../../dspinlock-runtime/src/store/redis/connection/turns.rs"]
pub mod turns;

pub use shipped::{error, lease, options};
