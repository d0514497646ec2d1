//! From the end of a body in one process to its value in another.

use crate::functions::{now, slow};
use crate::measure::{Row, quantile};
use crate::worker;
use futures_util::StreamExt;

const ROUNDS: u64 = 300;

pub(crate) fn row(url: &str) -> Vec<Row> {
    let holder = worker::start(url);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let (mut ours, mut push) = (Vec::new(), Vec::new());
    runtime.block_on(async {
        let client = redis::Client::open(url).expect("a url");
        let mut messages = client.get_async_pubsub().await.expect("a connection");
        messages.subscribe("bare").await.expect("a subscription");
        for round in 0..ROUNDS {
            let key = 10_000_000 + round;
            holder.say(&format!("slow {key} 1 15"));
            assert_eq!(holder.hear(), "begun");
            let made = slow(key, 0, || panic!("the waiter computed"))
                .await
                .expect("a value");
            ours.push((now() - made) as f64);
            holder.hear();
            holder.say("publish bare");
            let message = messages.on_message().next().await.expect("a message");
            push.push((now() - message.get_payload::<u64>().expect("a time")) as f64);
            holder.hear();
        }
    });
    let pairs: Vec<_> = ours.iter().copied().zip(push.iter().copied()).collect();
    let p99 = quantile(&mut ours, 0.99);
    vec![
        Row::micros(
            "hand-over to a waiter in another process",
            "PUBLISH",
            "≤ 2",
            &pairs,
        ),
        Row::fact("the same, p99", format!("{p99:.0} µs"), "≤ 5 ms"),
    ]
}
