//! The contract of a store. Every store runs the same named scenarios and the same random sequences of steps,
//! on keys of both encodings.
//!
//! The random sequences compare each reply with the reply of `protocol::step`.

mod random;
mod rig;
mod scenarios;

use self::rig::{Embedded, Memory, Pure, Redis};

/// Random sequences per store. They take some seconds on a server.
const CASES: u32 = 500;

#[test]
fn the_pure_function_fulfils_the_contract() {
    scenarios::run(&mut Pure::new());
}

#[test]
fn an_embedded_file_fulfils_the_contract() {
    scenarios::run(&mut Embedded::file());
}

#[test]
fn memory_fulfils_the_contract() {
    scenarios::run(&mut Memory::new());
}

#[test]
fn redis_fulfils_the_contract() {
    scenarios::run(&mut Redis::start());
}

#[test]
fn valkey_fulfils_the_contract() {
    scenarios::run(&mut Redis::valkey());
}

#[test]
fn redis_6_fulfils_the_contract() {
    scenarios::run(&mut Redis::six());
}

#[test]
fn redis_5_fulfils_the_contract() {
    scenarios::run(&mut Redis::five());
}

/// From 2286 on, the seconds of the server's clock have eleven digits.
#[test]
fn valkey_grants_the_greatest_fence_after_2255() {
    for time in ["@2261-01-01 00:00:00", "@2306-01-01 00:00:00"] {
        scenarios::run_after_2255(&mut Redis::valkey_at(time));
    }
}

#[test]
fn the_pure_function_grants_the_greatest_fence_after_2255() {
    scenarios::run_after_2255(&mut Pure::at(10_000_000_000_000_000));
}

#[test]
fn an_embedded_file_replies_like_protocol_step() {
    random::run(&mut Embedded::file(), CASES);
}

#[test]
fn memory_replies_like_protocol_step() {
    random::run(&mut Memory::new(), CASES);
}

#[test]
fn redis_replies_like_protocol_step() {
    random::run(&mut Redis::start(), CASES);
}

#[test]
fn redis_5_replies_like_protocol_step() {
    random::run(&mut Redis::five(), CASES);
}

#[test]
fn valkey_replies_like_protocol_step() {
    random::run(&mut Redis::valkey(), CASES);
}
