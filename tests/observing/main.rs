//! Traces, metrics and the state of a store. The tests of this program have a subscriber of `tracing` and a recorder of metrics,
//! which collect what the library reports.

#[path = "../steer/stores.rs"]
mod stores;

mod check;
mod collect;
#[allow(unreachable_pub, reason = "the example is a separate program")]
#[path = "../../examples/observe.rs"]
mod example;
mod exported;
mod metrics;
mod traces;
