//! Servers that run out of memory, restart, refuse commands or stall.

mod memory;
mod outages;
mod permissions;
mod stalls;
mod tracking_table;
