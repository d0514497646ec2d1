//! Measures hand-overs per second of one contended lock: 16 tasks in two or eight processes acquire it in a loop.
//!
//! The baseline is a token in a list: each task takes it with BLPOP and returns it with RPUSH.

use dspinlock_testkit::ChildProcess;
use redis::Commands;

use crate::bare;
use crate::measure::{Row, extremes, median};
use crate::worker;

const ROUNDS: u64 = 7;
const TASKS: u64 = 16;
const MILLISECONDS: u64 = 1_000;

/// The targets of the hand-overs, of the commands, and of the spread.
type Targets = [&'static str; 3];

pub(crate) fn rows(url: &str) -> Vec<Row> {
    [
        contended(url, "lock", "owned", 2, ["≥ 0.55", "≤ 10", "≤ 2"]),
        contended(url, "lock", "owned", 8, ["", "≤ 20", "≤ 2"]),
        contended(url, "explicit lock", "explicit", 2, [""; 3]),
        contended(url, "explicit lock", "explicit", 8, [""; 3]),
    ]
    .concat()
}

fn contended(url: &str, lock: &str, kind: &str, processes: u64, targets: Targets) -> Vec<Row> {
    let workers: Vec<_> = (0..processes).map(|_| worker::start(url)).collect();
    let mut redis = bare::sync(url);
    let (mut pairs, mut commands, mut spreads) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let before = bare::executed(&mut redis, |_| true).0;
        let ours = ours(&workers, kind, 40_000_000 + round);
        commands.push((bare::executed(&mut redis, |_| true).0 - before) / ours.grants);
        spreads.push(ours.spread);
        let tokens = tokens(&workers, &mut redis, &format!("token:{kind}:{processes}:{round}"));
        pairs.push((ours.hand_overs / seconds(), tokens / seconds()));
    }
    let name = format!("contended {lock}, 16 tasks in {processes}");
    vec![
        Row::rate(format!("{name}: hand-overs"), "BLPOP token", targets[0], &pairs),
        Row::fact(
            format!("{name}: commands a lock"),
            format!("{:.1}", median(commands)),
            targets[1],
        ),
        Row::fact(
            format!("{name}: luckiest / unluckiest"),
            format!("{:.2}", median(spreads)),
            targets[2],
        ),
    ]
}

fn seconds() -> f64 {
    MILLISECONDS as f64 / 1000.0
}

/// Result of one round.
struct Round {
    grants: f64,
    /// Grants to another task than the one before, in the order of the fences.
    hand_overs: f64,
    /// The most grants of a task / the fewest.
    spread: f64,
}

fn start(workers: &[ChildProcess], command: &str) {
    let tasks = TASKS / workers.len() as u64;
    let command = format!("{command} {tasks} {MILLISECONDS}");
    workers.iter().for_each(|worker| worker.send(&command));
}

fn ours(workers: &[ChildProcess], kind: &str, key: u64) -> Round {
    start(workers, &format!("{kind} {key}"));
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
    Round {
        grants: grants.len() as f64,
        hand_overs: changes.count() as f64,
        spread: max / min,
    }
}

/// Number of hand-overs of the token. A task that returns the token waits behind the others.
fn tokens(workers: &[ChildProcess], redis: &mut redis::Connection, list: &str) -> f64 {
    let _: u64 = redis.rpush(list, "x").expect("a reply to RPUSH");
    start(workers, &format!("token {list}"));
    let passed = workers
        .iter()
        .map(|worker| worker.recv().parse::<f64>().expect("the count is a number"));
    passed.sum()
}
