//! Commands that go to a server, and replies that come back. Nothing in this folder does I/O.
//!
//! Modules, top first: `command`, `reply`, `scripts`.

pub(crate) mod command;
pub(crate) mod reply;
pub(crate) mod scripts;
