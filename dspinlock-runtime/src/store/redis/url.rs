//! Parses URLs and parameters into addresses. This folder never connects.
//!
//! Modules, top first: `parameters`, `target`, `address`, `limits`, `parts`, `query`, `scheme`.

pub(crate) mod address;
pub(crate) mod limits;
pub(crate) mod parameters;
pub(crate) mod parts;
pub(crate) mod query;
mod scheme;
pub(crate) mod target;
