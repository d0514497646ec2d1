//! Measures the time from the end of a body in one process to the return of a waiting call in another.
//!
//! The baseline is a PUBLISH that is received by a subscriber in the other process.

use futures_util::StreamExt;

use crate::bare;
use crate::functions::{now, slow};
use crate::measure::{Row, quantile};
use crate::worker;

const ROUNDS: u64 = 150;
/// How long the waiter waits, in milliseconds.
const WAIT: u64 = 300;

pub(crate) fn rows(url: &str) -> Vec<Row> {
    let holder = worker::start(url);
    let (mut ours, mut push) = (Vec::new(), Vec::new());
    bare::threads(Some(1)).block_on(async {
        let messages = bare::client(url).get_async_pubsub().await;
        let mut messages = messages.expect("the server accepts a connection");
        messages.subscribe("bare").await.expect("a reply to SUBSCRIBE");
        for round in 0..ROUNDS {
            let key = 10_000_000 + round;
            holder.send(&format!("slow {key} 1 {WAIT}"));
            assert_eq!(holder.recv(), "begun");
            let finished = slow(key, 0, || panic!("the waiter ran the body"))
                .await
                .expect("the call succeeds");
            ours.push((now() - finished) as f64);
            holder.recv();
            holder.send(&format!("publish bare {WAIT}"));
            let message = messages.on_message().next().await.expect("the message arrives");
            push.push((now() - message.get_payload::<u64>().expect("the message is a time")) as f64);
            holder.recv();
        }
    });
    // Single durations vary from round to round, so the ratio is that of the quantiles.
    let [p50, p99] = [0.5, 0.99].map(|part| (quantile(&mut ours, part), quantile(&mut push, part)));
    vec![
        Row::micros(
            "hand-over to another process after 300 ms, p50",
            "PUBLISH",
            "≤ 1.3",
            &[p50],
        ),
        Row::micros(
            "hand-over to another process after 300 ms, p99",
            "PUBLISH",
            "",
            &[p99],
        ),
    ]
}
