//! Many callers of one cold key.

use dspinlock_testkit::ChildProcess;
use redis::Commands;

use crate::bare;
use crate::functions::now;
use crate::measure::{Row, median};
use crate::worker;

const PROCESSES: usize = 8;
const CALLERS: usize = 32;
const ROUNDS: usize = 200;

/// What came of one stampede. Times are in microseconds after the end of the body, or after the push.
pub(crate) struct Round {
    /// Per process, when each of its callers had the value.
    pub(crate) served: Vec<Vec<f64>>,
    /// Per process, when each of as many tasks was awake that waited for a bare push.
    pub(crate) awake: Vec<Vec<f64>>,
    /// How often the body ran.
    computed: u64,
    /// Commands that the callers sent to the server.
    commands: u64,
}

impl Round {
    /// When the last caller had the value, and when the last task was awake.
    pub(crate) fn last(&self) -> (f64, f64) {
        (last(&self.served), last(&self.awake))
    }
}

fn last(times: &[Vec<f64>]) -> f64 {
    times.iter().flatten().copied().fold(0.0, f64::max)
}

pub(crate) fn rows(url: &str) -> Vec<Row> {
    let rounds = rounds(url, ROUNDS);
    let pairs: Vec<_> = rounds.iter().map(Round::last).collect();
    let once = rounds.iter().filter(|round| round.computed == 1).count();
    let commands = rounds
        .iter()
        .map(|round| round.commands as f64 / (PROCESSES * CALLERS) as f64);
    vec![
        Row::micros(
            "stampede 8 × 32, last caller after the body",
            "push sketch",
            "≤ 3",
            &pairs,
        ),
        Row::fact(
            "the same, rounds with 1 computation",
            format!("{once} of {ROUNDS}"),
            "all",
        ),
        Row::fact(
            "the same, Redis commands a caller",
            format!("{:.2}", median(commands.collect())),
            "≤ 0.5",
        ),
    ]
}

/// So many stampedes on a key each, and the sketch of one after each.
pub(crate) fn rounds(url: &str, count: usize) -> Vec<Round> {
    let workers: Vec<_> = (0..PROCESSES).map(|_| worker::start(url)).collect();
    let mut redis = bare::sync(url);
    (0..count)
        .map(|round| {
            let before = calls(&mut redis);
            let (computed, served) = stampede(&workers, 20_000_000 + round);
            Round {
                served,
                computed,
                commands: calls(&mut redis) - before,
                awake: sketch(&workers, &mut redis),
            }
        })
        .collect()
}

fn stampede(workers: &[ChildProcess], key: usize) -> (u64, Vec<Vec<f64>>) {
    // Long enough for every caller to be there, also where the machine is busy.
    let command = format!("slow {key} {CALLERS} 200");
    workers.iter().for_each(|worker| worker.send(&command));
    let mut bodies = 0;
    let served = workers.iter().map(|worker| {
        let words: Vec<u64> = verdict(worker)
            .split(' ')
            .map(|word| word.parse().expect("a number"))
            .collect();
        let [computed, made, ref times @ ..] = words[..] else {
            panic!("a worker said too little");
        };
        bodies += computed;
        times.iter().map(|time| (time - made) as f64).collect()
    });
    let served = served.collect();
    (bodies, served)
}

/// A worker's last word on a round.
fn verdict(worker: &ChildProcess) -> String {
    loop {
        match worker.recv() {
            begun if begun == "begun" => {}
            verdict => return verdict,
        }
    }
}

/// The bare sketch: a PUBLISH that wakes as many tasks.
fn sketch(workers: &[ChildProcess], redis: &mut redis::Connection) -> Vec<Vec<f64>> {
    let command = format!("listen bare {CALLERS}");
    workers.iter().for_each(|worker| worker.send(&command));
    workers
        .iter()
        .for_each(|worker| assert_eq!(worker.recv(), "listening"));
    let sent = now();
    let _: u64 = redis.publish("bare", "x").expect("a reply");
    let awake = workers.iter().map(|worker| {
        let times = worker.recv();
        let times = times.split(' ').map(|time| time.parse::<u64>().expect("a time"));
        times.map(|time| (time - sent) as f64).collect()
    });
    awake.collect()
}

/// Commands that clients have sent: a script is one, and what it calls is none.
fn calls(redis: &mut redis::Connection) -> u64 {
    let stats: String = redis::cmd("INFO")
        .arg("commandstats")
        .query(redis)
        .expect("statistics");
    let count = |name: &str| -> u64 {
        let line = stats
            .lines()
            .find(|line| line.starts_with(&format!("cmdstat_{name}:")));
        line.and_then(|line| line.split(['=', ',']).nth(1)?.parse().ok())
            .unwrap_or(0)
    };
    // Inside of a script are a TIME and one GETRANGE at the most; outside, reads and registrations.
    count("evalsha") + count("client|caching") + count("getrange")
}
