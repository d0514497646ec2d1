//! Reaching and steering the keys of annotated functions from outside, on every store.

mod away;
mod busy;
mod close;
mod entry;
mod fresh;
mod keeping;
mod pools;
mod stores;
mod task;
