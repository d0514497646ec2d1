//! Every fault that can be made on one machine, on real servers and real processes; one test for each that is promised
//! to be survived, and one module for each kind.
//!
//! What happened is noted in a journal, to which all processes append, and judged by `History`: whatever was broken,
//! fences grow, a fence is published at most once, nobody is handed what is older than a delete, and every caller comes
//! to an end within its wait and a second.

#[path = "../common/mod.rs"]
mod common;
mod entries;
mod fixture;
mod holder;
mod network;
mod resources;
mod server;
mod soak;
mod staleness;
