//! Measures hand-overs per second of one contended lock: 16 tasks in two processes acquire it in a loop.
//!
//! The baseline is a token in a list: each task takes it with BLPOP and returns it with RPUSH.

use dspinlock_testkit::ChildProcess;
use redis::Commands;

use crate::bare;
use crate::measure::{Row, extremes, median};
use crate::worker;

const ROUNDS: u64 = 9;
const TASKS: u64 = 8;
const MILLISECONDS: u64 = 1_000;

pub(crate) fn row(url: &str) -> Vec<Row> {
    let workers = [worker::start(url), worker::start(url)];
    let mut redis = bare::sync(url);
    let (mut pairs, mut spreads) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let (changes, spread) = ours(&workers, 40_000_000 + round);
        pairs.push((
            changes / seconds(),
            tokens(&workers, &mut redis, round) / seconds(),
        ));
        spreads.push(spread);
    }
    let (ours, tokens): (Vec<_>, Vec<_>) = pairs.iter().copied().unzip();
    let range = |values: &[f64]| {
        let (min, max) = extremes(values);
        format!("{min:.0}–{max:.0}")
    };
    vec![
        Row::rate(
            "contended lock, 16 tasks, hand-overs",
            "BLPOP token",
            "≥ 4000 /s",
            &pairs,
        ),
        Row::facts(
            "contended lock, slowest and fastest round",
            "BLPOP token",
            "",
            [range(&ours), range(&tokens)],
        ),
        Row::fact(
            "contended lock, luckiest / unluckiest task",
            format!("{:.2}", median(spreads)),
            "≤ 2",
        ),
    ]
}

fn seconds() -> f64 {
    MILLISECONDS as f64 / 1000.0
}

/// Returns the number of hand-overs to another task, in the order of the fences, and the ratio of the most to the fewest
/// acquisitions of a task.
fn ours(workers: &[ChildProcess], key: u64) -> (f64, f64) {
    let command = format!("owned {key} {TASKS} {MILLISECONDS}");
    workers.iter().for_each(|worker| worker.send(&command));
    let mut grants = Vec::new();
    let mut counts = Vec::new();
    for (process, worker) in workers.iter().enumerate() {
        for (task, fences) in worker.recv().split(' ').enumerate() {
            let fences: Vec<u64> = fences
                .split(',')
                .filter(|fence| !fence.is_empty())
                .map(|fence| fence.parse().expect("the fence is a number"))
                .collect();
            counts.push(fences.len() as f64);
            grants.extend(fences.into_iter().map(|fence| (fence, process, task)));
        }
    }
    grants.sort_unstable();
    let changes = grants
        .windows(2)
        .filter(|pair| (pair[0].1, pair[0].2) != (pair[1].1, pair[1].2));
    let (min, max) = extremes(&counts);
    (changes.count() as f64, max / min)
}

/// Number of hand-overs of the token. A task that returns the token waits behind the others.
fn tokens(workers: &[ChildProcess], redis: &mut redis::Connection, round: u64) -> f64 {
    let list = format!("token:{round}");
    let _: u64 = redis.rpush(&list, "x").expect("a reply to RPUSH");
    let command = format!("token {list} {TASKS} {MILLISECONDS}");
    workers.iter().for_each(|worker| worker.send(&command));
    let passed = workers
        .iter()
        .map(|worker| worker.recv().parse::<f64>().expect("the count is a number"));
    passed.sum()
}
