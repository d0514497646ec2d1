//! Measures the time from the end of a body in one process to the return of a waiting call in another.
//!
//! The baseline is a PUBLISH that is received by a subscriber in the other process.

use futures_util::StreamExt;

use crate::bare;
use crate::functions::{now, slow};
use crate::measure::{Row, quantile};
use crate::worker;

const ROUNDS: u64 = 500;

pub(crate) fn row(url: &str) -> Vec<Row> {
    let holder = worker::start(url);
    let (mut ours, mut push) = (Vec::new(), Vec::new());
    bare::threads(Some(1)).block_on(async {
        let messages = bare::client(url).get_async_pubsub().await;
        let mut messages = messages.expect("the server accepts a connection");
        messages.subscribe("bare").await.expect("a reply to SUBSCRIBE");
        for round in 0..ROUNDS {
            let key = 10_000_000 + round;
            holder.send(&format!("slow {key} 1 15"));
            assert_eq!(holder.recv(), "begun");
            let finished = slow(key, 0, || panic!("the waiter ran the body"))
                .await
                .expect("the call succeeds");
            ours.push((now() - finished) as f64);
            holder.recv();
            holder.send("publish bare");
            let message = messages.on_message().next().await.expect("the message arrives");
            push.push((now() - message.get_payload::<u64>().expect("the message is a time")) as f64);
            holder.recv();
        }
    });
    let pairs: Vec<_> = ours.iter().copied().zip(push.iter().copied()).collect();
    let p99 = |values: &mut [f64]| format!("{:.0} µs", quantile(values, 0.99));
    vec![
        Row::micros(
            "hand-over to a waiter in another process",
            "PUBLISH",
            "≤ 2",
            &pairs,
        ),
        Row::facts(
            "hand-over, p99",
            "PUBLISH",
            "≤ 5 ms",
            [p99(&mut ours), p99(&mut push)],
        ),
    ]
}
