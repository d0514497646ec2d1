//! Holders that do not release.

mod cancelled;
mod deadline;
mod killed;
mod leaked;
mod logger;
mod paused;
