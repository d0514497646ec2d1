//! The behaviour of dspinlock as its users see it: real processes, real servers, the real Python package.
//!
//! One binary, so that it is linked once. The attribute's pool is global to a process; tests of the attribute on
//! several stores therefore run in worker processes (`worker.rs`), tests of the explicit API in this one.

mod bad_input;
mod errors;
mod executors;
mod explicit;
mod fail_if_key_exists;
mod interop;
mod keys;
mod links;
mod logs;
mod manifest;
mod near;
mod records;
mod round_trips;
mod secret;
mod semantics;
mod smallest_user;
mod stampede;
mod stores;
#[cfg(feature = "tls")]
mod tls;
mod worker;
