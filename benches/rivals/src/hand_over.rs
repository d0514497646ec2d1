//! The time from the end of the work under a lock in one process to the beginning of that of a waiter in another. The lock is
//! held for 300 ms.

use futures_util::StreamExt;

use crate::bare;
use crate::compare::{Comparison, Unit, rounds};
use crate::side::{LOCKS, Side};
use crate::sides::Sides;
use crate::worker::{self, now};

const ROUNDS: u64 = 50;
const MILLISECONDS: u64 = 300;

pub(crate) fn comparisons(url: &str) -> Vec<Comparison> {
    let holder = worker::start(url);
    let runtime = bare::threads(Some(1));
    let sides = runtime.block_on(Sides::new(url));
    let mut messages = runtime.block_on(async {
        let messages = bare::client(url).get_async_pubsub().await;
        let mut messages = messages.expect("the server accepts a connection");
        messages.subscribe("bare").await.expect("a reply to SUBSCRIBE");
        messages.into_on_message()
    });
    let rounds = rounds(ROUNDS, &LOCKS, |side, round| {
        let key = 60_000_000 + round;
        holder.send(&format!("hold {} {key} 0 {MILLISECONDS}", side.name()));
        assert_eq!(holder.recv(), "held");
        let mut begun = 0;
        runtime.block_on(async {
            if side == Side::Bare {
                messages.next().await.expect("the message arrives");
                begun = now();
            } else {
                sides.lock(side, key, async { begun = now() }).await;
            }
        });
        let end: u64 = holder.recv().parse().expect("a time");
        (begun - end) as f64
    });
    vec![Comparison::new(
        "hand-over to another process after 300 ms",
        Unit::Micros,
        &rounds,
    )]
}
