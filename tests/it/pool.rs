//! Pools: opening one, connecting it, and its credentials.

mod connecting;
mod credentials;
mod least_privilege;
mod open;
mod refusals;
mod secret;
#[cfg(feature = "tls")]
mod tls;
