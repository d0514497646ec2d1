//! Reaching and steering the keys of annotated functions from outside, on every store.

#[path = "../common/mod.rs"]
mod common;

mod away;
mod busy;
mod close;
mod entry;
mod fresh;
mod inspect;
mod keeping;
mod pools;
mod processes;
mod served;
mod site;
mod stores;
mod table;
mod task;
