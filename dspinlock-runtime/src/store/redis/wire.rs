//! The commands to a server, and its replies. This folder does no I/O.
//!
//! Modules, top first: `command`, `reply`, `scripts`.

pub(crate) mod command;
pub(crate) mod reply;
pub(crate) mod scripts;
