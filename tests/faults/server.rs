//! Servers that fail, forget, stall or refuse.

mod memory;
mod outages;
mod permissions;
mod stalls;
