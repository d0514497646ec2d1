//! URLs and parameters, parsed into addresses. Nothing in this folder connects.
//!
//! Modules, top first: `parameters`, `multi_host`, `address`, `scheme`.

pub(crate) mod address;
#[cfg(any(feature = "sentinel", feature = "cluster"))]
pub(crate) mod multi_host;
pub(crate) mod parameters;
pub(crate) mod scheme;
