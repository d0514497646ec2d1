//! dspinlock beside other crates, in the same run and on the same servers.
//!
//! `benches/rivals/run` starts its own servers and prints the table. `benches/rivals/run NAME` measures only the sections whose
//! name contains NAME. `benches/rivals/run --plot` also draws `docs/rivals.svg`.
//!
//! # How to read the table
//!
//! A cell is a median, and in parentheses the median of its ratio to the last column, taken round by round. In each round
//! all crates run the workload, one after the other. `bare` is the plain Redis commands that do the work without a crate:
//!
//! | workload | bare |
//! |---|---|
//! | hit | GET |
//! | near hit | – |
//! | cold call | 3 × EVALSHA(SET) |
//! | lock and unlock | 2 × EVALSHA(SET) |
//! | stampede, hand-over | PUBLISH |
//! | contended lock | a token in a list: BLPOP, RPUSH |
//!
//! - `cached` is `AsyncRedisCache`, for near hits with its client-side cache. It has no lock, so each caller that misses
//!   computes.
//! - `rslock` is a lock. Around it is the usual recipe of a cache: GET, lock, GET, SET, unlock.
//! - `moka` is a cache in the process. `get_with` computes once for each process.
//!
//! All sides use the same version of the `redis` crate, as the lock file says. `cached` and `rslock` open its default
//! connection, with Nagle's algorithm. `bare` has `TCP_NODELAY`.

#[path = "../../table/bare.rs"]
#[expect(dead_code, reason = "the benchmark `table` uses all of it")]
mod bare;
mod compare;
mod hand_over;
mod locks;
#[path = "../../table/measure.rs"]
#[expect(dead_code, reason = "the benchmark `table` uses all of it")]
mod measure;
mod near_hit;
mod one_caller;
mod plot;
mod side;
mod sides;
mod stampede;
mod worker;

use std::process::{Command, Stdio};

use dspinlock_testkit::Redis;

use crate::compare::{Comparison, print_header};
use crate::measure::own_program;

/// The name of a section, whether server and client are pinned to one CPU, and its workloads.
type Section = (&'static str, bool, fn(&str) -> Vec<Comparison>);

const SECTIONS: [Section; 8] = [
    ("hit", true, one_caller::hit),
    ("hits of tasks", false, one_caller::hits),
    ("near hit", true, near_hit::hit),
    ("cold call", true, one_caller::cold),
    ("lock and unlock", true, one_caller::lock),
    ("stampede", false, stampede::comparisons),
    ("contended lock", false, locks::comparisons),
    ("hand-over", false, hand_over::comparisons),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["--worker", url] => worker::main(url),
        ["--section", name, url] => {
            let (_, _, measure) = SECTIONS
                .into_iter()
                .find(|section| section.0 == name)
                .expect("the section exists");
            measure(url)
                .iter()
                .for_each(|comparison| println!("{}", comparison.encode()));
        }
        ["--plot"] => plot::write(&table("")),
        [] => drop(table("")),
        [filter] => drop(table(filter)),
        _ => panic!("expected one NAME, or --plot"),
    }
}

/// Measures each section in a separate process.
fn table(filter: &str) -> Vec<Comparison> {
    print_header();
    let mut table = Vec::new();
    for (name, is_pinned, _) in SECTIONS.into_iter().filter(|section| section.0.contains(filter)) {
        let server = Redis::start();
        if is_pinned {
            measure::pin(server.id());
        }
        let output = program(&server.url(), is_pinned)
            .args(["--section", name, &server.url()])
            .stderr(Stdio::inherit())
            .output()
            .expect("the program starts again");
        assert!(output.status.success(), "the section `{name}` failed");
        let lines = String::from_utf8(output.stdout).expect("the output is text");
        for comparison in lines.lines().map(Comparison::decode) {
            comparison.print(if is_pinned { "one" } else { "all" });
            table.push(comparison);
        }
    }
    table
}

/// This program, whose crates use the server at `url`.
fn program(url: &str, pinned: bool) -> Command {
    let mut command = own_program(url, pinned);
    command.env("CACHED_REDIS_CONNECTION_STRING", url);
    command
}
