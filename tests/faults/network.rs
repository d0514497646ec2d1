//! Connections that break, stall, or lose data.

mod connections;
mod partitions;
mod pushes;
