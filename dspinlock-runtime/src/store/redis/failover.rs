pub(super) mod grants;
pub(super) mod replicas;
#[cfg(feature = "sentinel")]
pub(super) mod sentinel;
