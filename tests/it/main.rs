//! The behaviour of dspinlock as a user sees it, on real servers, with real processes and the real Python package.
//!
//! The pool of annotated functions is global to a process. Tests of the attribute on several stores therefore run in worker
//! processes (`common/worker.rs`). Tests of the explicit API run in this process.

mod attribute;
mod borders;
#[path = "../common/mod.rs"]
mod common;
mod contended;
mod docs;
mod embedded;
mod entries;
mod errors;
mod executors;
mod explicit;
#[path = "../common/json_numbers.rs"]
mod json_numbers;
mod keys;
mod layers;
mod manifest;
mod messages_of_stores;
mod names;
mod near_cache;
mod operating;
mod pool;
mod python;
mod round_trips;
mod suspended;
mod unreadable;
mod values;
mod wire_format;
