//! 10,000 waiters in this process on one key that another process computes.

use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use tokio::task::JoinSet;

use crate::bare;
use crate::functions::{now, slow};
use crate::measure::{Row, extremes, median};
use crate::worker;

const WAITERS: usize = 10_000;
const ROUNDS: u64 = 7;

pub(crate) fn rows(url: &str) -> Vec<Row> {
    let holder = worker::start(url);
    let runtime = bare::threads(None);
    let monitor = Monitor::start(url, &runtime);
    let (mut last, mut again, mut commands) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let key = 30_000_000 + round;
        holder.send(&format!("slow {key} 1 1500"));
        assert_eq!(holder.recv(), "begun");
        monitor.seen(url);
        last.push(runtime.block_on(served(key)) / 1000.0);
        holder.recv();
        let seen = monitor.seen(url);
        let published = seen.iter().position(|line| is_publish(line));
        let after = &seen[published.expect("the holder published")..];
        again.push(sent(after) as f64);
        commands.push(sent(&seen) as f64);
    }
    let (least, most) = extremes(&again);
    let rechecks = if least == most {
        format!("{most}")
    } else {
        format!("{least}–{most}")
    };
    vec![
        Row::fact(
            "10,000 waiters, all served after",
            format!("{:.0} ms", median(last)),
            "≤ 100 ms",
        ),
        Row::fact("the same, looks at the server after it", rechecks, "1"),
        Row::fact(
            "the same, Redis commands in all",
            format!("{:.0}", median(commands)),
            "",
        ),
    ]
}

/// How long after the end of the body the last waiter had the value, in microseconds.
async fn served(key: u64) -> f64 {
    let started = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..WAITERS {
        callers.spawn(async move {
            let made = slow(key, 0, || panic!("a waiter computed")).await;
            now() - made.expect("a value")
        });
    }
    let arrived = started.elapsed();
    assert!(arrived < Duration::from_secs(1), "the waiters came too late");
    callers.join_all().await.into_iter().max().expect("a waiter") as f64
}

/// The state that says COMPUTED, as a script writes it.
fn is_publish(line: &str) -> bool {
    line.contains(" lua] \"SET\"") && line.contains(",1\" \"PX")
}

/// Commands that clients have sent about a key: neither those of scripts, nor what precedes a look to have it tracked.
fn sent(lines: &[String]) -> usize {
    let is_look = |line: &&String| line.contains("\"EVALSHA\"") || line.contains("] \"GET");
    lines
        .iter()
        .filter(|line| !line.contains(" lua] "))
        .filter(is_look)
        .count()
}

/// Every command that the server executes, in its order.
struct Monitor(Receiver<String>);

impl Monitor {
    fn start(url: &str, runtime: &tokio::runtime::Runtime) -> Self {
        let (send, lines) = channel();
        let client = bare::client(url);
        let monitor = runtime.block_on(client.get_async_monitor());
        let monitor = monitor.expect("a connection");
        runtime.spawn(async move {
            let mut lines = monitor.into_on_message::<String>();
            while let Some(line) = lines.next().await {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        Self(lines)
    }

    /// What was executed since the last look.
    fn seen(&self, url: &str) -> Vec<String> {
        let mark = format!("until {}", now());
        let echoed = redis::cmd("ECHO")
            .arg(&mark)
            .query::<String>(&mut bare::sync(url));
        assert_eq!(echoed.expect("a reply"), mark);
        let mut lines = Vec::new();
        loop {
            match self.0.recv_timeout(Duration::from_secs(10)).expect("the mark") {
                line if line.contains(&mark) => return lines,
                line => lines.push(line),
            }
        }
    }
}
