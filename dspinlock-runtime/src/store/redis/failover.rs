//! What a failover must not break: grants of a lost master, acknowledgements of replicas, and the address of the new master.
//!
//! Modules, independent of each other: `sentinel`, `grants`, `replicas`.

pub(crate) mod grants;
pub(crate) mod replicas;
#[cfg(feature = "sentinel")]
pub(crate) mod sentinel;
