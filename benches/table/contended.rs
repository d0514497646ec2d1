//! One lock that 16 tasks of two processes want all the time, beside a token that they pass on in a list.

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
        let (least, most) = extremes(values);
        format!("{least:.0}–{most:.0}")
    };
    vec![
        Row::rate(
            "contended mutex, 16 tasks, hand-overs",
            "BLPOP token",
            "≥ 4000 /s",
            &pairs,
        ),
        Row::facts(
            "the same, least and most of a round",
            "BLPOP token",
            "",
            [range(&ours), range(&tokens)],
        ),
        Row::fact(
            "the same, most/least of a task",
            format!("{:.2}", median(spreads)),
            "≤ 2",
        ),
    ]
}

fn seconds() -> f64 {
    MILLISECONDS as f64 / 1000.0
}

/// How often the lock went to another task, by the fences; and how much oftener the luckiest task had it.
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
                .map(|fence| fence.parse().expect("a fence"))
                .collect();
            counts.push(fences.len() as f64);
            grants.extend(fences.into_iter().map(|fence| (fence, process, task)));
        }
    }
    grants.sort_unstable();
    let changes = grants
        .windows(2)
        .filter(|pair| (pair[0].1, pair[0].2) != (pair[1].1, pair[1].2));
    let (least, most) = extremes(&counts);
    (changes.count() as f64, most / least)
}

/// How often the token went to another: who has just pushed it does not wait for it.
fn tokens(workers: &[ChildProcess], redis: &mut redis::Connection, round: u64) -> f64 {
    let list = format!("token:{round}");
    let _: u64 = redis.rpush(&list, "x").expect("a reply");
    let command = format!("token {list} {TASKS} {MILLISECONDS}");
    workers.iter().for_each(|worker| worker.send(&command));
    let passed = workers
        .iter()
        .map(|worker| worker.recv().parse::<f64>().expect("a number"));
    passed.sum()
}
