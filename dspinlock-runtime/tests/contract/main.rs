//! One contract for every store: the named scenarios, and random sequences of steps held against the pure function.

mod bench;
mod random;
mod scenarios;

use bench::{Embedded, Pure, Redis};

/// Random sequences per store: as many as take some seconds on a server.
const CASES: u32 = 500;

#[test]
fn pure_function() {
    scenarios::run(&mut Pure::new());
}

#[test]
fn embedded_file() {
    scenarios::run(&mut Embedded::file());
}

#[test]
fn embedded_memory() {
    scenarios::run(&mut Embedded::memory());
}

#[test]
fn redis() {
    scenarios::run(&mut Redis::start());
}

#[test]
fn valkey() {
    scenarios::run(&mut Redis::valkey());
}

#[test]
fn random_steps_on_an_embedded_file() {
    random::run(&mut Embedded::file(), CASES);
}

#[test]
fn random_steps_in_embedded_memory() {
    random::run(&mut Embedded::memory(), CASES);
}

#[test]
fn random_steps_on_redis() {
    random::run(&mut Redis::start(), CASES);
}

#[test]
fn random_steps_on_valkey() {
    random::run(&mut Redis::valkey(), CASES);
}
