//! Holders that end without a release.

mod cancelled;
mod killed;
mod leaked;
mod paused;
