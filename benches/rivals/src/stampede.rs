//! 256 callers in 8 processes ask for one key that is not computed yet. The body takes 200 ms.

use dspinlock_testkit::ChildProcess;
use redis::Commands;

use crate::bare;
use crate::compare::{Comparison, Unit, rounds};
use crate::measure::median;
use crate::side::{SIDES, Side};
use crate::worker::{self, now};

const PROCESSES: usize = 8;
const CALLERS: usize = 32;
const MILLISECONDS: u64 = 200;
const ROUNDS: u64 = 15;

const CACHES: [Side; 5] = [
    Side::Dspinlock,
    Side::Cached,
    Side::Rslock,
    Side::Moka,
    Side::Bare,
];

pub(crate) fn comparisons(url: &str) -> Vec<Comparison> {
    let workers: Vec<_> = (0..PROCESSES).map(|_| worker::start(url)).collect();
    let mut redis = bare::sync(url);
    let (mut bodies, mut commands) = (Vec::new(), Vec::new());
    let last = rounds(ROUNDS, &CACHES, |side, round| {
        let before = sent(&mut redis);
        let (computed, last) = stampede(&workers, &mut redis, side, 20_000_000 + round);
        bodies.push((side, computed));
        commands.push((side, (sent(&mut redis) - before) / (PROCESSES * CALLERS) as f64));
        last
    });
    vec![
        Comparison::new("stampede, 8 × 32 tasks: last one served", Unit::Micros, &last),
        count("stampede: computations", &bodies),
        count("stampede: commands per caller", &commands),
    ]
}

/// The median of each side but bare.
fn count(workload: &str, figures: &[(Side, f64)]) -> Comparison {
    let of = |side| {
        let figures: Vec<_> = figures
            .iter()
            .filter(|figure| figure.0 == side)
            .map(|figure| figure.1)
            .collect();
        (side != Side::Bare && !figures.is_empty()).then(|| median(figures))
    };
    Comparison::new(workload, Unit::Count, &[SIDES.map(of)])
}

/// Returns the number of computations, and the microseconds from the end of the first one to the last caller.
fn stampede(workers: &[ChildProcess], redis: &mut redis::Connection, side: Side, key: u64) -> (f64, f64) {
    let command = format!("values {} {key} {CALLERS} {MILLISECONDS}", side.name());
    workers.iter().for_each(|worker| worker.send(&command));
    if side == Side::Bare {
        workers
            .iter()
            .for_each(|worker| assert_eq!(worker.recv(), "listening"));
        let _: u64 = redis.publish("bare", now()).expect("a reply to PUBLISH");
    }
    let results: Vec<Vec<u64>> = workers
        .iter()
        .map(|worker| {
            worker
                .recv()
                .split(' ')
                .map(|word| word.parse().expect("a number"))
                .collect()
        })
        .collect();
    let bodies: u64 = results.iter().map(|result| result[0]).sum();
    let first = results
        .iter()
        .map(|result| result[1])
        .min()
        .expect("there are workers");
    let last = results
        .iter()
        .flat_map(|result| &result[2..])
        .max()
        .expect("there are callers");
    (bodies as f64, (last - first) as f64)
}

/// Number of commands, without those that scripts call.
fn sent(redis: &mut redis::Connection) -> f64 {
    bare::executed(redis, |name| {
        ["evalsha", "client|caching", "getrange", "get", "set", "psetex"].contains(&name)
    })
    .0
}
