//! `dspinlock exec`, as real processes against a real server.
#![cfg(unix)]

mod docs;
mod endings;
mod output;
mod runs;
mod scene;
mod signals;
mod stores;
mod terminal;
