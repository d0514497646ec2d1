//! High availability: masters that fail, and what takes their place.

#[path = "../it/logs.rs"]
#[expect(dead_code, reason = "what other tests ask of it")]
mod logs;
mod master;
#[path = "../it/worker.rs"]
mod worker;
