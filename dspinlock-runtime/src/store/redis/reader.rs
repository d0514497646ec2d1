//! Connections that carry reads only. A read that they cannot serve goes to the background thread.

pub(crate) mod sync_reader;
