//! Pools: how one is opened, and with what rights.

mod connecting;
mod least_privilege;
mod secret;
#[cfg(feature = "tls")]
mod tls;
