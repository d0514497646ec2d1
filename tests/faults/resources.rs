//! Processes and machines without resources.

mod disk;
mod limits;
