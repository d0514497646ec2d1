//! Reaching and steering the keys of annotated functions from outside, on every store.

#[path = "../common/mod.rs"]
mod common;

mod busy;
mod entry;
mod keeping;
mod pools;
mod processes;
mod stores;
mod table;
