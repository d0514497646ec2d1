//! Faults that one machine can produce, on real servers and with real processes. `docs/promises.md` lists them.
//!
//! All processes append to a journal, which `History` checks. Under every fault fences grow, a fence is published at most
//! once, no call returns a value older than the last delete, and every call returns within its wait plus one second.

#[path = "../common/mod.rs"]
mod common;
mod entries;
mod fixture;
mod holder;
mod hostile;
mod mutations;
mod network;
mod resources;
mod server;
mod soak;
mod staleness;
