//! `dspinlock ls`, `show`, `rm`, `doctor` and `completions`, as real processes against real stores.

mod completions;
mod doctor;
mod entries;
mod stage;
#[cfg(unix)]
mod terminal;
mod users;
