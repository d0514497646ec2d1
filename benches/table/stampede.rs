//! Measures a stampede: 256 callers in 8 processes ask for one key that is not computed yet.
//!
//! The baselines are a PUBLISH that wakes the same number of tasks, and one that wakes threads.

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
    /// For each baseline and each process: when each of its callers was awake.
    pub(crate) awake: Vec<Vec<Vec<f64>>>,
    /// How often the body ran.
    computed: u64,
    /// Number of commands that the callers sent.
    commands: f64,
}

impl Round {
    /// When the last caller had the value, and when the last one of a baseline was awake.
    pub(crate) fn last(&self, baseline: usize) -> (f64, f64) {
        (last(&self.served), last(&self.awake[baseline]))
    }
}

fn last(times: &[Vec<f64>]) -> f64 {
    times.iter().flatten().copied().fold(0.0, f64::max)
}

/// The baselines: the command of the worker, and what it does.
const WAKES_TASKS: (&str, &str) = ("listen", "PUBLISH that wakes tasks");
const WAKES_THREADS: (&str, &str) = ("listen_sync", "PUBLISH, wakes threads");

pub(crate) fn rows(url: &str) -> Vec<Row> {
    [
        of(url, "256 tasks", "slow", &[(WAKES_TASKS, "≤ 1.5")]),
        of(
            url,
            "256 threads",
            "slow_sync",
            &[(WAKES_TASKS, "≤ 3"), (WAKES_THREADS, "")],
        ),
    ]
    .concat()
}

fn of(url: &str, name: &str, call: &str, baselines: &[((&str, &'static str), &'static str)]) -> Vec<Row> {
    let listen: Vec<_> = baselines.iter().map(|baseline| baseline.0.0).collect();
    let rounds = rounds(url, call, &listen, ROUNDS);
    let once = rounds.iter().filter(|round| round.computed == 1).count();
    let commands = rounds
        .iter()
        .map(|round| round.commands / (PROCESSES * CALLERS) as f64);
    let durations = baselines.iter().enumerate().map(|(at, ((_, baseline), target))| {
        let pairs: Vec<_> = rounds.iter().map(|round| round.last(at)).collect();
        Row::micros(
            format!("stampede, {name}: last one served"),
            baseline,
            target,
            &pairs,
        )
    });
    let facts = [
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
    ];
    durations.chain(facts).collect()
}

/// The stampedes of tasks that the plot shows.
pub(crate) fn of_tasks(url: &str, count: usize) -> Vec<Round> {
    rounds(url, "slow", &[WAKES_TASKS.0], count)
}

/// Measures `count` stampedes on new keys, each followed by the baselines.
fn rounds(url: &str, call: &str, listen: &[&str], count: usize) -> Vec<Round> {
    let workers: Vec<_> = (0..PROCESSES).map(|_| worker::start(url)).collect();
    let mut redis = bare::sync(url);
    (0..count)
        .map(|round| {
            let before = sent(&mut redis);
            let (computed, served) = stampede(&workers, call, 20_000_000 + round);
            Round {
                served,
                computed,
                commands: sent(&mut redis) - before,
                awake: listen
                    .iter()
                    .map(|listen| baseline(&workers, listen, &mut redis))
                    .collect(),
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
