pub(super) mod address;
#[cfg(any(feature = "sentinel", feature = "cluster"))]
pub(super) mod multi_host;
pub(super) mod parameters;
