//! Connections that carry reads only. `redis` calls them. A read that they cannot serve is sent by the background thread.

pub(crate) mod sync_reader;
