//! Processes without descriptors, threads, disk space or name service.

mod disk;
mod limits;
mod name_lookup;
