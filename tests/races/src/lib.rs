//! The rooms of the runtime that threads share (`flight`, `near`, `lease`, `heart`, and the watches of pushes), compiled from
//! the very files that ship, with the primitives of a scheduler in the place of std's and tokio's. `scenarios` has what
//! the tests run under it.
//!
//! What the rooms stand on is made small here: a store of one record, a clock that moves when it is told, tasks.

// The files of the runtime are used in part only.
#![allow(dead_code, missing_docs, unreachable_pub)]

pub use dspinlock_runtime::internals::{error, key, protocol};

pub mod clock;
pub mod lock;
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
    pub mod lease;
}

#[path = "../../../dspinlock-runtime/src/store/redis/tracking.rs"]
pub mod tracking;

pub use shipped::lease;
