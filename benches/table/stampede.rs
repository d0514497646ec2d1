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
const ROUNDS: usize = 100;

/// Result of one stampede. Times are in microseconds after the end of the body, or after the PUBLISH.
pub(crate) struct Round {
    /// For each process: when each caller had the value.
    pub(crate) served: Vec<Vec<f64>>,
    /// For each process: when each task of the baseline was awake.
    pub(crate) awake: Vec<Vec<f64>>,
    /// How often the body ran.
    computed: u64,
    /// Number of commands that the callers sent.
    commands: f64,
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

/// The callers of a stampede: the commands of the worker for dspinlock and for the baseline.
#[derive(Clone, Copy)]
pub(crate) struct Callers {
    call: &'static str,
    listen: &'static str,
}

pub(crate) const TASKS: Callers = Callers {
    call: "slow",
    listen: "listen",
};
const THREADS: Callers = Callers {
    call: "slow_sync",
    listen: "listen_sync",
};

pub(crate) fn rows(url: &str) -> Vec<Row> {
    [
        of(url, "256 tasks", TASKS, "≤ 1.5"),
        of(url, "256 threads", THREADS, "≤ 3"),
    ]
    .concat()
}

fn of(url: &str, name: &str, callers: Callers, target: &'static str) -> Vec<Row> {
    let rounds = rounds(url, callers, ROUNDS);
    let pairs: Vec<_> = rounds.iter().map(Round::last).collect();
    let once = rounds.iter().filter(|round| round.computed == 1).count();
    let commands = rounds
        .iter()
        .map(|round| round.commands / (PROCESSES * CALLERS) as f64);
    vec![
        Row::micros(
            format!("stampede, {name}: last one served"),
            "PUBLISH",
            target,
            &pairs,
        ),
        Row::fact(
            format!("stampede, {name}: rounds with one body"),
            format!("{once} of {ROUNDS}"),
            "all",
        ),
        Row::fact(
            format!("stampede, {name}: commands per caller"),
            format!("{:.2}", median(commands.collect())),
            "≤ 0.5",
        ),
    ]
}

/// Measures `count` stampedes on new keys, each followed by the baseline.
pub(crate) fn rounds(url: &str, callers: Callers, count: usize) -> Vec<Round> {
    let workers: Vec<_> = (0..PROCESSES).map(|_| worker::start(url)).collect();
    let mut redis = bare::sync(url);
    (0..count)
        .map(|round| {
            let before = sent(&mut redis);
            let (computed, served) = stampede(&workers, callers.call, 20_000_000 + round);
            Round {
                served,
                computed,
                commands: sent(&mut redis) - before,
                awake: baseline(&workers, callers.listen, &mut redis),
            }
        })
        .collect()
}

fn stampede(workers: &[ChildProcess], call: &str, key: usize) -> (u64, Vec<Vec<f64>>) {
    // The body takes 200 ms, so that every caller arrives before its end, even on a busy machine.
    let command = format!("{call} {key} {CALLERS} 200");
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

/// A PUBLISH that wakes the same number of callers.
fn baseline(workers: &[ChildProcess], listen: &str, redis: &mut redis::Connection) -> Vec<Vec<f64>> {
    let command = format!("{listen} bare {CALLERS}");
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
fn sent(redis: &mut redis::Connection) -> f64 {
    // GETRANGE also counts inside of scripts, which call it at most once.
    let counts = ["evalsha", "client|caching", "getrange"];
    bare::executed(redis, |name| counts.contains(&name)).0
}
