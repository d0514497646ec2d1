//! `dspinlock ls`, `show`, `rm` and `doctor`, as real processes against real stores.

mod entries;
mod stage;
