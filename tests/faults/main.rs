//! Every fault that can be made on one machine, on real servers and real processes; one test for each that is promised
//! to be survived, and one module for each kind.
//!
//! What happened is noted in a journal, to which all processes append, and judged by `History`: whatever was broken,
//! fences grow, a fence is published at most once, nobody is handed what is older than a delete, and every caller comes
//! to an end within its wait and a second.

mod clocks;
mod crash;
mod deletes;
mod disk;
mod exhaustion;
mod forgotten;
mod given_up;
mod killed;
mod memory;
mod outages;
mod partitions;
mod python;
mod refusals;
mod scene;
mod soak;
mod stamps;
mod truth;
mod waiters;

// What the workers of `it` do is what these workers do.
#[path = "../it/logs.rs"]
#[allow(dead_code, reason = "some of it is for the other tests")]
mod logs;
#[path = "../it/stores.rs"]
mod stores;
#[path = "../it/worker.rs"]
mod worker;
