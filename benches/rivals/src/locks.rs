//! 16 tasks in two processes acquire one lock in a loop.

use redis::Commands;

use crate::bare;
use crate::compare::{Comparison, Unit, rounds};
use crate::side::{LOCKS, Side};
use crate::worker;

const ROUNDS: u64 = 9;
const TASKS: u64 = 8;
const MILLISECONDS: u64 = 1_000;

pub(crate) fn comparisons(url: &str) -> Vec<Comparison> {
    let workers = [worker::start(url), worker::start(url)];
    let mut redis = bare::sync(url);
    let mut commands = Vec::new();
    let hand_overs = rounds(ROUNDS, &LOCKS, |side, round| {
        let key = 40_000_000 + round;
        if side == Side::Bare {
            let _: u64 = redis
                .rpush(format!("token:{key}"), "x")
                .expect("a reply to RPUSH");
        }
        let before = bare::executed(&mut redis, |_| true).0;
        let command = format!("contend {} {key} {TASKS} {MILLISECONDS}", side.name());
        workers.iter().for_each(|worker| worker.send(&command));
        let results = workers.each_ref().map(|worker| worker.recv());
        let tasks = results.iter().flat_map(|result| result.split(' ')).enumerate();
        let mut grants: Vec<(u64, usize)> = tasks
            .flat_map(|(task, times)| {
                let times = times.split(',').filter(|time| !time.is_empty());
                times.map(move |time| (time.parse().expect("a time"), task))
            })
            .collect();
        grants.sort_unstable();
        commands.push((bare::executed(&mut redis, |_| true).0 - before) / grants.len() as f64);
        let changes = grants.windows(2).filter(|pair| pair[0].1 != pair[1].1).count();
        changes as f64 * 1_000.0 / MILLISECONDS as f64
    });
    let mut commands = commands.into_iter();
    let commands: Vec<_> = hand_overs
        .iter()
        .map(|round| round.map(|rate| rate.and_then(|_| commands.next())))
        .collect();
    vec![
        Comparison::new(
            "contended lock, 16 tasks in 2: hand-overs",
            Unit::PerSecond,
            &hand_overs,
        ),
        Comparison::new("contended lock: commands a lock", Unit::Count, &commands),
    ]
}
