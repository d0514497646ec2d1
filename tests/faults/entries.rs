//! Entries that other processes delete, overwrite or leave behind.

mod clocks;
mod deleted;
mod python;
mod takeover;
