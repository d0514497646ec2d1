//! Handles failovers: a grant of a former master must not publish, replicas acknowledge a step, and connections follow the
//! master. `node` and `per_runtime` call this folder.
//!
//! Modules, independent of each other: `sentinel`, `grants`, `replicas`.

pub(crate) mod grants;
pub(crate) mod replicas;
#[cfg(feature = "sentinel")]
pub(crate) mod sentinel;
