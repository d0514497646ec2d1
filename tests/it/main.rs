//! The behaviour of dspinlock as its users see it: real processes, real servers, the real Python package.
//!
//! One binary, so that it is linked once. The attribute's pool is global to a process; tests of the attribute on
//! several stores therefore run in worker processes (`common/worker.rs`), tests of the explicit API in this one.

mod attribute;
#[path = "../common/mod.rs"]
mod common;
mod docs;
mod entries;
mod errors;
mod executors;
mod explicit;
mod keys;
mod layers;
mod messages_of_stores;
mod near_cache;
mod pool;
mod python;
mod round_trips;
