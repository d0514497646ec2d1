//! Parses URLs and parameters into addresses. This folder never connects.
//!
//! Modules, top first: `parameters`, `multi_host`, `address`, `limits`, `query`, `scheme`.

pub(crate) mod address;
pub(crate) mod limits;
#[cfg(any(feature = "sentinel", feature = "cluster"))]
pub(crate) mod multi_host;
pub(crate) mod parameters;
pub(crate) mod query;
pub(crate) mod scheme;
