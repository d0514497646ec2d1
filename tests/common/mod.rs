//! What the test binaries share: the worker process, the captured log, and the stores to run on.
#![allow(dead_code, reason = "no binary uses all of it")]

pub(crate) mod logs;
pub(crate) mod store;
pub(crate) mod worker;
