//! What the test binaries share: fixtures, the worker process, and the captured log.
#![allow(dead_code, reason = "no binary uses all of it")]

pub(crate) mod assertions;
pub(crate) mod lock;
pub(crate) mod logs;
pub(crate) mod proxied;
pub(crate) mod python;
pub(crate) mod store;
pub(crate) mod worker;
