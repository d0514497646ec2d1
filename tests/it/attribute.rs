//! Functions with the attribute.

mod body;
mod caching;
mod fail_if_key_exists;
mod options;
mod stampede;
mod waiting;
