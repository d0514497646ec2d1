//! The protocol of dspinlock under a model checker. The server of each model takes its steps with the shipped
//! `dspinlock_runtime::internals::protocol::step`; the callers behave as the library's engine, lease and near cache do.
//!
//! `lock` asks about one lock under every fault, `wake` about callers that wait for a push, `near` about copies that pushes
//! drop.

pub mod call;
pub mod finish;
pub mod kept;
pub mod lock;
pub mod near;
pub mod report;
pub mod rule;
pub mod server;
pub mod wake;
