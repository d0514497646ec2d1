//! `dspinlock ls`, `show`, `rm` and `doctor`, as real processes against real stores.

mod doctor;
mod entries;
mod stage;
#[cfg(unix)]
mod terminal;
mod users;
