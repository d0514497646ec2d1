//! Connections that break, stall, or lose data.

mod connections;
mod heartbeats;
mod late_copy;
mod outage;
mod partitions;
mod pushes;
mod quiet;
mod slow_line;
