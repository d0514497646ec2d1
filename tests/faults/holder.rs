//! Holders that do not release.

mod cancelled;
mod killed;
mod leaked;
mod paused;
