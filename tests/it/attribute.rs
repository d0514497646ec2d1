//! The attribute: what a locked function does.

pub(crate) mod caching;
mod fail_if_key_exists;
mod stampede;
