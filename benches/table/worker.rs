//! A worker process. It reads one command per line and prints one result per line.

use std::fmt::Display;
use std::io::{BufRead, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dspinlock_testkit::ChildProcess;
use futures_util::StreamExt;
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::bare;
use crate::functions::{explicit, explicit_locked, now, owned, slow, slow_sync, value};
use crate::measure::own_program;
use crate::memory;

/// Starts a worker.
pub(crate) fn start(url: &str) -> ChildProcess {
    let worker = ChildProcess::start(own_program(url, false).args(["--worker", url]));
    assert_eq!(worker.recv(), "ready");
    worker
}

pub(crate) fn main(url: &str) {
    let runtime = bare::threads(Some(1));
    let mut connection = runtime.block_on(bare::multiplexed(url));
    say("ready");
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("the input is text");
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<u64>().expect("the argument is a number");
        match words[0] {
            "slow" => runtime.block_on(callers(number(1), number(2), number(3))),
            "slow_sync" => sync_callers(number(1), number(2), number(3)),
            "listen" => runtime.block_on(listen(url, words[1], number(2))),
            "listen_sync" => listen_sync(url, words[1], number(2)),
            "publish" => {
                std::thread::sleep(Duration::from_millis(number(2)));
                let publish = connection.publish::<_, _, u64>(words[1], now());
                runtime.block_on(publish).expect("a reply to PUBLISH");
                say("published");
            }
            "fill" => {
                let cache =
                    |id| async move { drop(value(id, memory::length(id)).await.expect("the call succeeds")) };
                runtime.block_on(fill(number(1), cache));
            }
            "fill_explicit" => runtime.block_on(fill(number(1), explicit_locked)),
            "owned" => {
                let own = async |key| {
                    let mut fence = 0;
                    let note = || fence = dspinlock::current().expect("the body holds a lease").fence();
                    owned(key, note).await.expect("the call succeeds");
                    fence
                };
                runtime.block_on(contend(number(1), number(2), number(3), own));
            }
            "explicit" => {
                let own = async |key| {
                    let lease = explicit(key).await;
                    let fence = lease.fence();
                    lease.release().await.expect("the lease is not lost");
                    fence
                };
                runtime.block_on(contend(number(1), number(2), number(3), own));
            }
            "token" => runtime.block_on(pass(url, words[1], number(2), number(3))),
            other => panic!("unknown command {other}"),
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

/// How often a body ran in this process.
static COMPUTED: AtomicUsize = AtomicUsize::new(0);

fn begun() {
    COMPUTED.fetch_add(1, Ordering::Relaxed);
    say("begun");
}

/// Starts `count` callers of one key. Prints a line when a body begins. The result is how often the body ran in this
/// process, when it finished, and when each caller had the value.
async fn callers(key: u64, count: u64, milliseconds: u64) {
    let mut callers = JoinSet::new();
    for _ in 0..count {
        callers.spawn(async move {
            let finished = slow(key, milliseconds, begun).await.expect("the call succeeds");
            (now(), finished)
        });
    }
    say_served(&callers.join_all().await);
}

/// [`callers`] on threads.
fn sync_callers(key: u64, count: u64, milliseconds: u64) {
    say_served(&on_threads(count, || {
        let finished = slow_sync(key, milliseconds, begun).expect("the call succeeds");
        (now(), finished)
    }));
}

fn say_served(served: &[(u64, u64)]) {
    let computed = COMPUTED.swap(0, Ordering::Relaxed);
    let times = join(served.iter().map(|served| served.0), " ");
    say(&format!("{computed} {} {times}", served[0].1));
}

fn on_threads<T: Send>(count: u64, run: impl Fn() -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(&run)).collect();
        let results = threads
            .into_iter()
            .map(|thread| thread.join().expect("the thread does not panic"));
        results.collect()
    })
}

/// The baseline of a stampede: one subscriber that wakes `count` tasks. The result is when each task was awake.
async fn listen(url: &str, channel: &str, count: u64) {
    let messages = bare::client(url).get_async_pubsub().await;
    let mut messages = messages.expect("the server accepts a connection");
    messages.subscribe(channel).await.expect("a reply to SUBSCRIBE");
    let notify = Arc::new(Notify::new());
    let mut listeners = JoinSet::new();
    for _ in 0..count {
        let notify = notify.clone();
        listeners.spawn(async move {
            notify.notified().await;
            now()
        });
    }
    tokio::time::sleep(Duration::from_millis(20)).await; // until every task waits
    say("listening");
    messages.on_message().next().await.expect("the message arrives");
    notify.notify_waiters();
    say(&join(listeners.join_all().await, " "));
}

/// The baseline of a stampede of threads: one subscriber that wakes `count` threads.
fn listen_sync(url: &str, channel: &str, count: u64) {
    let mut connection = bare::sync(url);
    let mut messages = connection.as_pubsub();
    messages.subscribe(channel).expect("a reply to SUBSCRIBE");
    let is_sent = &AtomicBool::new(false);
    let wait = || {
        while !is_sent.load(Ordering::Acquire) {
            std::thread::park();
        }
        now()
    };
    let times = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(wait)).collect();
        std::thread::sleep(Duration::from_millis(20)); // until every thread waits
        say("listening");
        messages.get_message().expect("the message arrives");
        is_sent.store(true, Ordering::Release);
        threads.iter().for_each(|thread| thread.thread().unpark());
        threads
            .into_iter()
            .map(|thread| thread.join().expect("the thread does not panic"))
            .collect::<Vec<_>>()
    });
    say(&join(times, " "));
}

/// Starts tasks that acquire one lock in a loop. The result is the fences of each task.
async fn contend<F>(key: u64, tasks: u64, milliseconds: u64, own: impl Fn(u64) -> F + Copy + Send + 'static)
where
    F: Future<Output = u64> + Send,
{
    let end = Instant::now() + Duration::from_millis(milliseconds);
    let mut owners = JoinSet::new();
    for _ in 0..tasks {
        owners.spawn(async move {
            let mut fences = Vec::new();
            while Instant::now() < end {
                fences.push(own(key).await);
            }
            fences
        });
    }
    let fences = owners.join_all().await;
    say(&join(fences.into_iter().map(|fences| join(fences, ",")), " "));
}

/// Makes calls for the keys below `count`.
async fn fill<F>(count: u64, call: impl Fn(u64) -> F + Copy + Send + 'static)
where
    F: Future<Output = ()> + Send,
{
    const TASKS: usize = 256;
    let mut callers = JoinSet::new();
    for turn in 0..TASKS as u64 {
        callers.spawn(async move {
            for id in (turn..count).step_by(TASKS) {
                call(id).await;
            }
        });
    }
    callers.join_all().await;
    say("filled");
}

/// Starts tasks that pass on a token in a list, each with its own connection. The result is how often they had it.
async fn pass(url: &str, list: &str, tasks: u64, milliseconds: u64) {
    let passed = Arc::new(AtomicUsize::new(0));
    let mut connections = Vec::new();
    for _ in 0..tasks {
        connections.push(bare::multiplexed(url).await);
    }
    let mut owners = JoinSet::new();
    for connection in connections {
        let own = pass_on(connection, list.to_owned(), passed.clone());
        owners.spawn(tokio::time::timeout(Duration::from_millis(milliseconds), own));
    }
    owners.join_all().await;
    say(&passed.load(Ordering::Relaxed).to_string());
}

async fn pass_on(mut connection: MultiplexedConnection, list: String, passed: Arc<AtomicUsize>) {
    loop {
        let token: (String, String) = connection.blpop(&list, 0.0).await.expect("a reply to BLPOP");
        passed.fetch_add(1, Ordering::Relaxed);
        let _: u64 = connection.rpush(&list, token.1).await.expect("a reply to RPUSH");
    }
}
