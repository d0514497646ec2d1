//! A worker process: one command a line on its input, one answer a line on its output.

use std::io::{BufRead, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dspinlock::Pool;
use futures_util::StreamExt;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::functions::{now, owned, slow};

/// Starts a worker.
pub(crate) fn start(url: &str) -> dspinlock_testkit::Lines {
    let program = std::env::current_exe().expect("this program");
    let worker = dspinlock_testkit::Lines::start(std::process::Command::new(program).args(["--worker", url]));
    assert_eq!(worker.hear(), "ready");
    worker
}

pub(crate) fn main(arguments: &[String]) {
    let url = &arguments[0];
    dspinlock::init(Pool::open(url).expect("a pool")).expect("the first pool");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let client = redis::Client::open(url.as_str()).expect("a url");
    let mut connection = runtime
        .block_on(client.get_multiplexed_async_connection())
        .expect("a connection");
    say("ready");
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("a line");
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<u64>().expect("a number");
        match words[0] {
            "slow" => runtime.block_on(callers(number(1), number(2), number(3))),
            "listen" => runtime.block_on(listen(&client, words[1], number(2))),
            "publish" => {
                let mut publish = redis::cmd("PUBLISH");
                publish.arg(words[1]).arg(now());
                let _: u64 = runtime
                    .block_on(publish.query_async(&mut connection))
                    .expect("a reply");
                say("published");
            }
            "owned" => runtime.block_on(contend(number(1), number(2), number(3))),
            other => panic!("no command {other}"),
        }
    }
}

fn say(line: &str) {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{line}")
        .and_then(|()| output.flush())
        .expect("somebody listens");
}

/// So many callers of one key. Says when a body begins; then when the last one had the value, when the
/// body was done, and how often it ran.
async fn callers(key: u64, count: u64, milliseconds: u64) {
    static COMPUTED: AtomicUsize = AtomicUsize::new(0);
    let before = COMPUTED.load(Ordering::Relaxed);
    let begun = || {
        COMPUTED.fetch_add(1, Ordering::Relaxed);
        say("begun");
    };
    let mut callers = JoinSet::new();
    for _ in 0..count {
        callers.spawn(async move {
            let made = slow(key, milliseconds, begun).await.expect("a value");
            (now(), made)
        });
    }
    let served = callers.join_all().await;
    let last = served.iter().map(|served| served.0).max().expect("a caller");
    say(&format!(
        "{last} {} {}",
        served[0].1,
        COMPUTED.load(Ordering::Relaxed) - before
    ));
}

/// The bare sketch of a stampede: one subscriber that wakes so many tasks. Says when the last one was awake.
async fn listen(client: &redis::Client, channel: &str, count: u64) {
    let mut messages = client.get_async_pubsub().await.expect("a connection");
    messages.subscribe(channel).await.expect("a subscription");
    let news = Arc::new(Notify::new());
    let mut listeners = JoinSet::new();
    for _ in 0..count {
        let news = news.clone();
        listeners.spawn(async move {
            news.notified().await;
            now()
        });
    }
    tokio::time::sleep(Duration::from_millis(20)).await; // every task waits
    say("listening");
    let _ = messages.on_message().next().await.expect("a message");
    news.notify_waiters();
    let last = listeners.join_all().await.into_iter().max().expect("a listener");
    say(&last.to_string());
}

/// Tasks that lock one key as often as they can. Says the fences that each task was granted.
async fn contend(key: u64, tasks: u64, milliseconds: u64) {
    let end = Instant::now() + Duration::from_millis(milliseconds);
    let mut owners = JoinSet::new();
    for task in 0..tasks {
        owners.spawn(async move {
            let mut fences = vec![task];
            while Instant::now() < end {
                let note = || fences.push(dspinlock::current().expect("a lease").fence());
                owned(key, note).await.expect("the lock");
            }
            fences
        });
    }
    let fences = owners.join_all().await;
    let lines: Vec<String> = fences
        .iter()
        .map(|fences| fences.iter().map(u64::to_string).collect::<Vec<_>>().join(","))
        .collect();
    say(&lines.join(" "));
}
