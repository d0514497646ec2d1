//! Measures 10,000 waiters in one process on a key that another process computes.

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
        monitor.drain(url);
        last.push(runtime.block_on(served(key)) / 1000.0);
        holder.recv();
        let lines = monitor.drain(url);
        let published = lines.iter().position(|line| is_publish(line));
        let after = &lines[published.expect("the holder published")..];
        again.push(sent(after) as f64);
        commands.push(sent(&lines) as f64);
    }
    let (min, max) = extremes(&again);
    let rechecks = if min == max {
        format!("{max}")
    } else {
        format!("{min}–{max}")
    };
    vec![
        Row::fact(
            "10,000 waiters: last one served",
            format!("{:.0} ms", median(last)),
            "≤ 100 ms",
        ),
        Row::fact("10,000 waiters: reads after the publish", rechecks, "1"),
        Row::fact(
            "10,000 waiters: commands in total",
            format!("{:.0}", median(commands)),
            "",
        ),
    ]
}

/// Microseconds from the end of the body until the last waiter had the value.
async fn served(key: u64) -> f64 {
    let started = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..WAITERS {
        callers.spawn(async move {
            let finished = slow(key, 0, || panic!("a waiter ran the body")).await;
            now() - finished.expect("the call succeeds")
        });
    }
    let arrived = started.elapsed();
    assert!(
        arrived < Duration::from_secs(1),
        "starting the waiters took too long"
    );
    callers
        .join_all()
        .await
        .into_iter()
        .max()
        .expect("there are waiters") as f64
}

/// Whether the line shows a script that writes a value.
fn is_publish(line: &str) -> bool {
    line.contains(" lua] \"SET\"") && line.contains("\" \"V")
}

/// Number of commands that clients have sent for the key, without the commands of scripts and CLIENT CACHING.
fn sent(lines: &[String]) -> usize {
    let is_request = |line: &&String| line.contains("\"EVALSHA\"") || line.contains("] \"GET");
    lines
        .iter()
        .filter(|line| !line.contains(" lua] "))
        .filter(is_request)
        .count()
}

/// MONITOR: every command that the server executes, in order.
struct Monitor(Receiver<String>);

impl Monitor {
    fn start(url: &str, runtime: &tokio::runtime::Runtime) -> Self {
        let (send, lines) = channel();
        let client = bare::client(url);
        let monitor = runtime.block_on(client.get_async_monitor());
        let monitor = monitor.expect("the server accepts a connection");
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

    /// The commands since the last call.
    fn drain(&self, url: &str) -> Vec<String> {
        let mark = format!("until {}", now());
        let echoed = redis::cmd("ECHO")
            .arg(&mark)
            .query::<String>(&mut bare::sync(url));
        assert_eq!(echoed.expect("a reply to ECHO"), mark);
        let mut lines = Vec::new();
        loop {
            match self
                .0
                .recv_timeout(Duration::from_secs(10))
                .expect("MONITOR shows the mark")
            {
                line if line.contains(&mark) => return lines,
                line => lines.push(line),
            }
        }
    }
}
