//! Measures a stampede: 256 callers in 8 processes ask for one key that is not computed yet.
//!
//! The baseline is a PUBLISH that wakes the same number of tasks.

use dspinlock_testkit::ChildProcess;
use redis::Commands;

use crate::bare;
use crate::functions::now;
use crate::measure::{Row, median};
use crate::worker;

const PROCESSES: usize = 8;
const CALLERS: usize = 32;
const ROUNDS: usize = 200;

/// Result of one stampede. Times are in microseconds after the end of the body, or after the PUBLISH.
pub(crate) struct Round {
    /// For each process: when each caller had the value.
    pub(crate) served: Vec<Vec<f64>>,
    /// For each process: when each task of the baseline was awake.
    pub(crate) awake: Vec<Vec<f64>>,
    /// How often the body ran.
    computed: u64,
    /// Number of commands that the callers sent.
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
        Row::micros("stampede, 256 callers: last one served", "PUBLISH", "≤ 3", &pairs),
        Row::fact(
            "stampede: rounds with one computation",
            format!("{once} of {ROUNDS}"),
            "all",
        ),
        Row::fact(
            "stampede: commands per caller",
            format!("{:.2}", median(commands.collect())),
            "≤ 0.5",
        ),
    ]
}

/// Measures `count` stampedes on new keys, each followed by the baseline.
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
                awake: baseline(&workers, &mut redis),
            }
        })
        .collect()
}

fn stampede(workers: &[ChildProcess], key: usize) -> (u64, Vec<Vec<f64>>) {
    // The body takes 200 ms, so that every caller arrives before its end, even on a busy machine.
    let command = format!("slow {key} {CALLERS} 200");
    workers.iter().for_each(|worker| worker.send(&command));
    let mut bodies = 0;
    let served = workers.iter().map(|worker| {
        let words: Vec<u64> = result(worker)
            .split(' ')
            .map(|word| word.parse().expect("the word is a number"))
            .collect();
        let [computed, finished, ref times @ ..] = words[..] else {
            panic!("a worker printed too few words");
        };
        bodies += computed;
        times.iter().map(|time| (time - finished) as f64).collect()
    });
    let served = served.collect();
    (bodies, served)
}

/// The line with which a worker ends a round.
fn result(worker: &ChildProcess) -> String {
    loop {
        match worker.recv() {
            begun if begun == "begun" => {}
            result => return result,
        }
    }
}

/// A PUBLISH that wakes the same number of tasks.
fn baseline(workers: &[ChildProcess], redis: &mut redis::Connection) -> Vec<Vec<f64>> {
    let command = format!("listen bare {CALLERS}");
    workers.iter().for_each(|worker| worker.send(&command));
    workers
        .iter()
        .for_each(|worker| assert_eq!(worker.recv(), "listening"));
    let sent = now();
    let _: u64 = redis.publish("bare", "x").expect("a reply to PUBLISH");
    let awake = workers.iter().map(|worker| {
        let times = worker.recv();
        let times = times
            .split(' ')
            .map(|time| time.parse::<u64>().expect("the word is a time"));
        times.map(|time| (time - sent) as f64).collect()
    });
    awake.collect()
}

/// Number of commands that clients have sent. A script counts as one command.
fn calls(redis: &mut redis::Connection) -> u64 {
    let stats: String = redis::cmd("INFO")
        .arg("commandstats")
        .query(redis)
        .expect("a reply to INFO");
    let count = |name: &str| -> u64 {
        let line = stats
            .lines()
            .find(|line| line.starts_with(&format!("cmdstat_{name}:")));
        line.and_then(|line| line.split(['=', ',']).nth(1)?.parse().ok())
            .unwrap_or(0)
    };
    // GETRANGE also counts inside of scripts, which call it at most once.
    count("evalsha") + count("client|caching") + count("getrange")
}
