//! Calls of one process: hits, cold calls, and locks without a result.

use std::time::Instant;

use redis::AsyncCommands;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::bare;
use crate::compare::{Comparison, Unit, rounds};
use crate::measure::{median, times_async};
use crate::side::{LOCKS, Side};
use crate::sides::{Sides, text};

const ROUNDS: u64 = 15;
const CALLS: usize = 500;
const TASKS: u64 = 64;

fn nothing() {}

/// Stores the values of the keys below `count` for all sides.
async fn fill(sides: &Sides, count: u64) {
    for id in 0..count {
        let set = sides
            .bare()
            .set::<_, _, ()>(bare::name(id as usize), text())
            .await;
        set.expect("a reply to SET");
        for side in [Side::Dspinlock, Side::Cached, Side::Rslock] {
            sides.clone().value(side, id, 0, nothing).await;
        }
    }
}

pub(crate) fn hit(url: &str) -> Vec<Comparison> {
    let runtime = bare::one_thread();
    let sides = runtime.block_on(Sides::new(url));
    runtime.block_on(fill(&sides, 1));
    let rounds = rounds(
        ROUNDS,
        &[Side::Dspinlock, Side::Cached, Side::Rslock, Side::Bare],
        |side, _| {
            let call = || {
                let mut sides = sides.clone();
                async move { sides.value(side, 0, 0, nothing).await }
            };
            median(runtime.block_on(times_async(CALLS, call)))
        },
    );
    vec![Comparison::new(
        "hit, one async caller, 100 B",
        Unit::Micros,
        &rounds,
    )]
}

pub(crate) fn hits(url: &str) -> Vec<Comparison> {
    let runtime = bare::threads(None);
    let sides = runtime.block_on(Sides::new(url));
    runtime.block_on(fill(&sides, TASKS));
    let rounds = rounds(
        ROUNDS,
        &[Side::Dspinlock, Side::Cached, Side::Rslock, Side::Bare],
        |side, _| {
            let start = Instant::now();
            runtime.block_on(async {
                let call = |id| {
                    let mut sides = sides.clone();
                    async move {
                        for _ in 0..CALLS {
                            sides.value(side, id, 0, nothing).await;
                        }
                    }
                };
                (0..TASKS).map(call).collect::<JoinSet<()>>().join_all().await
            });
            (TASKS as usize * CALLS) as f64 / start.elapsed().as_secs_f64()
        },
    );
    vec![Comparison::new(
        "hits, 64 tasks, 64 keys",
        Unit::PerSecond,
        &rounds,
    )]
}

pub(crate) fn cold(url: &str) -> Vec<Comparison> {
    let with_value = [Side::Dspinlock, Side::Cached, Side::Rslock, Side::Bare];
    one_by_one(
        url,
        "cold call, cached",
        &with_value,
        async |mut sides, side, id| match side {
            Side::Bare => sides.scripts(3).await,
            _ => sides.value(side, id, 0, nothing).await,
        },
    )
}

pub(crate) fn lock(url: &str) -> Vec<Comparison> {
    one_by_one(
        url,
        "lock and unlock",
        &LOCKS,
        async |sides, side, id| match side {
            Side::Bare => sides.scripts(2).await,
            _ => sides.lock(side, id, async {}).await,
        },
    )
}

/// Times calls on new keys, and counts their commands.
fn one_by_one(url: &str, name: &str, of: &[Side], call: impl AsyncFn(Sides, Side, u64)) -> Vec<Comparison> {
    let runtime: Runtime = bare::one_thread();
    let sides = runtime.block_on(Sides::new(url));
    let mut redis = bare::sync(url);
    let mut id = 1_000_000;
    let mut commands = Vec::new();
    // The first round opens connections.
    let mut rounds = rounds(ROUNDS + 1, of, |side, _| {
        let before = bare::executed(&mut redis, |_| true).0;
        let next = || {
            id += 1;
            call(sides.clone(), side, id)
        };
        let time = median(runtime.block_on(times_async(CALLS, next)));
        commands.push((bare::executed(&mut redis, |_| true).0 - before) / CALLS as f64);
        time
    });
    rounds.remove(0);
    let mut commands = commands.into_iter().skip(of.len());
    let commands: Vec<_> = rounds
        .iter()
        .map(|round| round.map(|time| time.and_then(|_| commands.next())))
        .collect();
    vec![
        Comparison::new(name, Unit::Micros, &rounds),
        Comparison::new(format!("{name}: commands"), Unit::Count, &commands),
    ]
}
