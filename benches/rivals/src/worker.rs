//! A worker process. It reads one command per line and prints one result per line.

use std::fmt::Display;
use std::io::{BufRead, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dspinlock_testkit::ChildProcess;
use futures_util::StreamExt;
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::bare;
use crate::side::Side;
use crate::sides::Sides;

/// Starts a worker.
pub(crate) fn start(url: &str) -> ChildProcess {
    let worker = ChildProcess::start(crate::program(url, false).args(["--worker", url]));
    assert_eq!(worker.recv(), "ready");
    worker
}

pub(crate) fn main(url: &str) {
    let runtime = bare::threads(Some(1));
    let sides = runtime.block_on(Sides::new(url));
    say("ready");
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("the input is text");
        let words: Vec<&str> = line.split(' ').collect();
        let side = Side::of(words[1]);
        let [key, count, milliseconds] = [2, 3, 4].map(|at| words[at].parse::<u64>().expect("a number"));
        match (words[0], side) {
            ("values", Side::Bare) => runtime.block_on(listen(url, count)),
            ("values", _) => runtime.block_on(callers(&sides, side, key, count, milliseconds)),
            ("contend", Side::Bare) => runtime.block_on(pass(url, key, count, milliseconds)),
            ("contend", _) => runtime.block_on(contend(&sides, side, key, count, milliseconds)),
            ("hold", Side::Bare) => runtime.block_on(publish(&sides, milliseconds)),
            ("hold", _) => runtime.block_on(hold(&sides, side, key, milliseconds)),
            (other, _) => panic!("unknown command {other}"),
        }
    }
}

fn say(line: &str) {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{line}")
        .and_then(|()| output.flush())
        .expect("the parent reads the output");
}

fn join<T: Display>(items: impl IntoIterator<Item = T>, between: &str) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    items.join(between)
}

/// Microseconds since 1970. All processes of a machine share this clock.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("the clock is after 1970").as_micros() as u64
}

/// How often a body ran in this process, and when the first one ended.
static BODIES: AtomicU64 = AtomicU64::new(0);
static FIRST: AtomicU64 = AtomicU64::new(u64::MAX);

fn body() {
    BODIES.fetch_add(1, Ordering::Relaxed);
    FIRST.fetch_min(now(), Ordering::Relaxed);
}

/// Starts `count` callers of one key. The result is how often a body ran here, when the first one ended, and when each
/// caller had the value.
async fn callers(sides: &Sides, side: Side, key: u64, count: u64, milliseconds: u64) {
    let call = |_| {
        let mut sides = sides.clone();
        async move {
            sides.value(side, key, milliseconds, body).await;
            now()
        }
    };
    let times = (0..count).map(call).collect::<JoinSet<u64>>().join_all().await;
    let (bodies, first) = (
        BODIES.swap(0, Ordering::Relaxed),
        FIRST.swap(u64::MAX, Ordering::Relaxed),
    );
    say(&format!("{bodies} {first} {}", join(times, " ")));
}

/// A subscriber that wakes `count` tasks. The result is as that of [`callers`].
async fn listen(url: &str, count: u64) {
    let messages = bare::client(url).get_async_pubsub().await;
    let mut messages = messages.expect("the server accepts a connection");
    messages.subscribe("bare").await.expect("a reply to SUBSCRIBE");
    let notify = Arc::new(Notify::new());
    let listener = |_| {
        let notify = notify.clone();
        async move {
            notify.notified().await;
            now()
        }
    };
    let listeners = (0..count).map(listener).collect::<JoinSet<u64>>();
    tokio::time::sleep(Duration::from_millis(20)).await; // until every task waits
    say("listening");
    let message = messages.on_message().next().await.expect("the message arrives");
    notify.notify_waiters();
    let sent: u64 = message.get_payload().expect("the message is a time");
    say(&format!("0 {sent} {}", join(listeners.join_all().await, " ")));
}

/// Starts tasks that acquire one lock in a loop. The result is when each task had it.
async fn contend(sides: &Sides, side: Side, key: u64, tasks: u64, milliseconds: u64) {
    let end = Instant::now() + Duration::from_millis(milliseconds);
    let own = |_| {
        let sides = sides.clone();
        async move {
            let mut times = Vec::new();
            while Instant::now() < end {
                sides.lock(side, key, async { times.push(now()) }).await;
            }
            times
        }
    };
    say_times((0..tasks).map(own).collect::<JoinSet<_>>().join_all().await);
}

fn say_times(times: Vec<Vec<u64>>) {
    say(&join(times.into_iter().map(|times| join(times, ",")), " "));
}

/// Starts tasks that pass on a token in a list, each with its own connection. The result is as that of [`contend`].
async fn pass(url: &str, key: u64, tasks: u64, milliseconds: u64) {
    let mut connections = Vec::new();
    for _ in 0..tasks {
        connections.push(bare::multiplexed(url).await);
    }
    let own = |connection| async move {
        let mut times = Vec::new();
        let pass_on = pass_on(connection, format!("token:{key}"), &mut times);
        // Ends the endless loop.
        let _ = tokio::time::timeout(Duration::from_millis(milliseconds), pass_on).await;
        times
    };
    say_times(
        connections
            .into_iter()
            .map(own)
            .collect::<JoinSet<_>>()
            .join_all()
            .await,
    );
}

async fn pass_on(mut connection: MultiplexedConnection, list: String, times: &mut Vec<u64>) {
    loop {
        let token: (String, String) = connection.blpop(&list, 0.0).await.expect("a reply to BLPOP");
        times.push(now());
        let _: u64 = connection.rpush(&list, token.1).await.expect("a reply to RPUSH");
    }
}

/// Holds a lock for some time. The result is when the work under it ended.
async fn hold(sides: &Sides, side: Side, key: u64, milliseconds: u64) {
    let mut end = 0;
    let work = async {
        say("held");
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        end = now();
    };
    sides.lock(side, key, work).await;
    say(&end.to_string());
}

/// Publishes a message after some time. The result is when.
async fn publish(sides: &Sides, milliseconds: u64) {
    say("held");
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    let sent = now();
    let publish = sides.bare().publish::<_, _, u64>("bare", sent).await;
    publish.expect("a reply to PUBLISH");
    say(&sent.to_string());
}
