//! Reaching and steering the keys of annotated functions from outside, on every store.

mod entry;
mod pools;
mod stores;
