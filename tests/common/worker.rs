//! A worker process: this binary, started anew by `dspinlock_testkit::Worker`, calls annotated functions as it is told.

use std::collections::HashMap;
use std::fmt::Display;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::task::Poll;
use std::time::{Duration, SystemTime};
use std::{env, io, process, thread};

use dspinlock::{Error, HashDSpinlock, Pool, dspinlock};
use dspinlock_testkit::Journal;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// The environment variable with the secret of the worker's pool.
pub(crate) const SECRET: &str = "DSPINLOCK_TEST_SECRET";

/// Not a test: the process that the tests start. Without their word it does nothing.
#[test]
fn main() {
    if env::var_os("DSPINLOCK_TEST_WORKER").is_none() {
        return;
    }
    // The test harness has begun a line of its own.
    println!();
    crate::common::logs::listen();
    if let (Ok(secret), Ok(url)) = (env::var(SECRET), env::var("DSPINLOCK_URL")) {
        let pool = Pool::open(&url).and_then(|pool| pool.with_secret(secret));
        dspinlock::init(pool.expect("a store")).expect("a process has one pool");
    }
    // A single thread, so that a body that blocks it starves everything that runs there.
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let mut calls: HashMap<u64, AbortHandle> = HashMap::new();
    for line in io::stdin().lines().map_while(Result::ok) {
        let (id, order) = line.split_once(' ').expect("`<id> <order>`");
        let id: u64 = id.parse().expect("an id");
        match order {
            "go" => gate(id).notify_one(),
            "logs" => {
                crate::common::logs::lines().iter().for_each(|line| say(id, line));
                say(id, "end");
            }
            "left" => {
                let mut left = dspinlock::__private::in_hand();
                left.tasks += runtime.metrics().num_alive_tasks();
                say(id, format_args!("{left:?}"));
            }
            "tasks" => {
                let own = runtime.metrics().num_alive_tasks();
                say(id, own + dspinlock::__private::in_hand().tasks);
            }
            limit if limit.starts_with("limit ") => {
                dspinlock_testkit::limit_self(&limit["limit ".len()..]);
                say(id, "end");
            }
            "drop" => drop(calls.remove(&id).map(|call| call.abort())),
            call => {
                calls.retain(|_, call| !call.is_finished());
                calls.insert(id, begin(&runtime, id, call));
            }
        }
    }
    // The test has let go of its worker; bodies that still run are of no interest.
    process::exit(0);
}

fn begin(runtime: &Runtime, id: u64, order: &str) -> AbortHandle {
    let (function, job) = Job::parse(id, order);
    let caller = job.clone();
    caller.note("call", caller.sleep.saturating_mul(caller.tries).as_millis());
    let limits = job.clone();
    let call = match function {
        "cached" => runtime.spawn(limits.limit(cached(job))),
        "each" => runtime.spawn(limits.limit(each(job))),
        "once" => runtime.spawn(once(job)),
        "shared" => runtime.spawn(limits.limit(async move { shared(&job.key, &job).await })),
        "shared_each" => runtime.spawn(limits.limit(async move { shared_each(&job.key, &job).await })),
        "near" => runtime.spawn(near(job)),
        "near_sync" => runtime.spawn_blocking(|| near_sync(job)),
        "near_shared" => runtime.spawn(async move { near_shared(&job.key, &job).await }),
        "forget" => runtime.spawn(forget(job)),
        "rewrite" => runtime.spawn(rewrite(job)),
        "cached_sync" => runtime.spawn_blocking(|| cached_sync(job)),
        "replicated" => runtime.spawn(replicated(job)),
        "each_sync" => runtime.spawn_blocking(|| each_sync(job)),
        other => panic!("no function {other}"),
    };
    let handle = call.abort_handle();
    runtime.spawn(async move {
        let outcome = match call.await {
            Ok(Ok(value)) if value.len() > 1000 => format!("ok {} bytes", value.len()),
            Ok(Ok(value)) => format!("ok {value}"),
            // What is private to a test must be in no message and in no log.
            Ok(Err(Failure::Lock(error))) if crate::common::logs::leaks(Some(&error)) => {
                format!("err LEAK {error:?} {:?}", crate::common::logs::lines())
            }
            Ok(Err(Failure::Lock(error))) => format!("err {}", variant(&error)),
            Ok(Err(Failure::Body)) => "err Body".into(),
            Ok(Err(Failure::Dropped)) => "err dropped".into(),
            Err(error) if error.is_panic() => "err panic".into(),
            Err(_) => "err dropped".into(),
        };
        caller.note("out", &outcome);
        say(id, outcome);
    });
    handle
}

#[dspinlock(
    key = job.key, cached_if_computed, lease = job.lease, ttl = job.ttl, max_block_time = job.block,
    max_spinlock_tries = job.tries, spinlock_sleep_thresh = job.sleep
)]
async fn cached(job: Job) -> Result<String, Failure> {
    job.run().await
}

#[dspinlock(
    key = job.key, cached_if_computed, lease = job.lease, ttl = job.ttl, max_block_time = job.block,
    max_spinlock_tries = job.tries, spinlock_sleep_thresh = job.sleep
)]
fn cached_sync(job: Job) -> Result<String, Failure> {
    futures_executor::block_on(job.run())
}

#[dspinlock(
    key = job.key, lease = job.lease, ttl = job.ttl, max_block_time = job.block,
    max_spinlock_tries = job.tries, spinlock_sleep_thresh = job.sleep
)]
async fn each(job: Job) -> Result<String, Failure> {
    job.run().await
}

#[dspinlock(
    key = job.key, lease = job.lease, ttl = job.ttl, max_block_time = job.block,
    max_spinlock_tries = job.tries, spinlock_sleep_thresh = job.sleep
)]
fn each_sync(job: Job) -> Result<String, Failure> {
    futures_executor::block_on(job.run())
}

#[dspinlock(key = job.key, cached_if_computed, replicas = 1)]
async fn replicated(job: Job) -> Result<String, Failure> {
    job.run().await
}

#[dspinlock(key = job.key, fail_if_key_exists, lease = job.lease, ttl = job.ttl)]
async fn once(job: Job) -> Result<String, Failure> {
    job.run().await
}

/// A key that Python workers know too.
#[dspinlock(
    key = key, name = "", cached_if_computed, lease = job.lease, ttl = job.ttl, max_block_time = job.block,
    max_spinlock_tries = job.tries, spinlock_sleep_thresh = job.sleep
)]
async fn shared(key: &str, job: &Job) -> Result<String, Failure> {
    job.run().await
}

#[dspinlock(
    key = key, name = "", lease = job.lease, ttl = job.ttl, max_block_time = job.block,
    max_spinlock_tries = job.tries, spinlock_sleep_thresh = job.sleep
)]
async fn shared_each(key: &str, job: &Job) -> Result<String, Failure> {
    job.run().await
}

#[dspinlock(key = job.key, cached_if_computed, near_cache = job.near, ttl = job.ttl, lease = job.lease)]
async fn near(job: Job) -> Result<String, Failure> {
    job.run().await
}

#[dspinlock(key = job.key, cached_if_computed, near_cache = job.near, ttl = job.ttl, lease = job.lease)]
fn near_sync(job: Job) -> Result<String, Failure> {
    futures_executor::block_on(job.run())
}

#[dspinlock(key = key, name = "", cached_if_computed, near_cache = job.near, ttl = job.ttl)]
async fn near_shared(key: &str, job: &Job) -> Result<String, Failure> {
    job.run().await
}

/// Deletes the key of the functions that share theirs with Python.
async fn forget(job: Job) -> Result<String, Failure> {
    job.note("delete", "");
    let deleted = HashDSpinlock::new(&job.key)?.delete_state().await?;
    job.note("deleted", "");
    Ok(deleted.to_string())
}

/// Deletes and computes in turns; each value must be another than the one before.
async fn rewrite(job: Job) -> Result<String, Failure> {
    let mut stale = 0;
    let mut before = near_shared(&job.key, &job).await?;
    for _ in 0..200 {
        // Twice, so that the near cache holds it.
        near_shared(&job.key, &job).await?;
        near_shared(&job.key, &job).await?;
        forget(job.clone()).await?;
        let after = near_shared(&job.key, &job).await?;
        stale += usize::from(after == before);
        before = after;
    }
    Ok(format!("{stale} stale"))
}

/// What to do, and how.
#[derive(Debug, Clone)]
struct Job {
    id: u64,
    /// What the journal calls the lock.
    lock: String,
    key: String,
    /// Steps with `+` between them.
    body: String,
    value: Option<String>,
    journal: Option<Journal>,
    lease: Duration,
    ttl: Duration,
    block: Duration,
    sleep: Duration,
    tries: u32,
    near: Duration,
    /// After so many polls that led to nothing the call is dropped: at once, or where it would be polled again.
    polls: u32,
    late: bool,
    timeout: Duration,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Lock(#[from] Error),
    #[error("the body failed, as it was told to")]
    Body,
    #[error("the call was dropped, as it was told to be")]
    Dropped,
}

impl Job {
    /// `call cached key=a body=sleep:300+err lease=2000`; times are in milliseconds.
    fn parse(id: u64, order: &str) -> (&str, Self) {
        let mut words = order.split(' ').skip(1);
        let function = words.next().expect("a function's name");
        let mut job = Self {
            id,
            lock: String::new(),
            key: String::new(),
            body: String::new(),
            value: None,
            journal: None,
            lease: Duration::from_secs(15),
            ttl: Duration::from_secs(3600),
            block: Duration::from_secs(1800),
            sleep: Duration::from_millis(500),
            tries: 1000,
            near: Duration::from_secs(600),
            polls: u32::MAX,
            late: false,
            timeout: Duration::MAX,
        };
        for (name, value) in words.map(|word| word.split_once('=').expect("`name=value`")) {
            match name {
                "key" => job.key = value.into(),
                "body" => job.body = value.into(),
                "value" => job.value = Some(value.into()),
                "size" => job.value = Some("secret".repeat(value.parse::<usize>().expect("a number") / 6)),
                "journal" => job.journal = Some(Journal::at(value)),
                "lease" => job.lease = milliseconds(value),
                "ttl" => job.ttl = milliseconds(value),
                "block" => job.block = milliseconds(value),
                "sleep" => job.sleep = milliseconds(value),
                "near" => job.near = milliseconds(value),
                "polls" => job.polls = value.parse().expect("a number"),
                "late" => job.late = value == "true",
                "timeout" => job.timeout = milliseconds(value),
                "tries" => job.tries = value.parse().expect("a number"),
                other => panic!("no option {other}"),
            }
        }
        let scope = match function {
            "shared" | "shared_each" | "near_shared" | "forget" | "rewrite" => "shared",
            own => own,
        };
        job.lock = format!("{scope}:{}", job.key);
        (function, job)
    }

    /// Drops the call where it is told to.
    async fn limit(self, call: impl Future<Output = Result<String, Failure>>) -> Result<String, Failure> {
        let mut call = pin!(call);
        let mut left = self.polls;
        let polled = poll_fn(|context| {
            if left == 0 {
                return Poll::Ready(Err(Failure::Dropped));
            }
            left -= 1;
            match call.as_mut().poll(context) {
                Poll::Pending if left == 0 && !self.late => Poll::Ready(Err(Failure::Dropped)),
                polled => polled,
            }
        });
        let ended = tokio::time::timeout(self.timeout, polled).await;
        ended.unwrap_or(Err(Failure::Dropped))
    }

    /// The body of every function.
    async fn run(&self) -> Result<String, Failure> {
        static COMPUTED: AtomicU64 = AtomicU64::new(0);
        let lease = dspinlock::current();
        let fence = lease.as_ref().map_or(0, |lease| lease.fence());
        self.note("begin", fence);
        say(self.id, format_args!("began {fence}"));
        for step in self.body.split('+') {
            match step.split_once(':').unwrap_or((step, "")) {
                ("", _) => {}
                ("sleep", time) => tokio::time::sleep(milliseconds(time)).await,
                ("block", time) => thread::sleep(milliseconds(time)),
                ("gate", _) => gate(self.id).notified().await,
                ("lost", _) => {
                    lease.as_ref().expect("a body has a lease").lost().await;
                    say(self.id, "lost");
                }
                ("clock", _) => {
                    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
                    say(
                        self.id,
                        format_args!("clock {}", since.map_or(0, |since| since.as_secs())),
                    );
                }
                ("err", _) => return Err(Failure::Body),
                ("panic", _) => panic!("as told"),
                ("again", _) => return Box::pin(cached(self.clone())).await,
                (other, _) => panic!("no step {other}"),
            }
        }
        let number = COMPUTED.fetch_add(1, Ordering::Relaxed);
        let computed = || format!("{}-{number}", process::id());
        let value = self.value.clone().unwrap_or_else(computed);
        let lost = lease.is_some_and(|lease| lease.is_lost());
        let lease = if lost { "lost" } else { "held" };
        self.note("end", format_args!("{fence} {lease} {value}"));
        Ok(value)
    }

    /// One line of the journal; `dspinlock_testkit::History` reads it.
    fn note(&self, event: &str, what: impl Display) {
        if let Some(journal) = &self.journal {
            let tag = format_args!("{}-{}", process::id(), self.id);
            journal.note(format_args!("{event} {tag} {} {what}", self.lock));
        }
    }
}

/// The name of an error's variant.
pub(crate) fn variant(error: &Error) -> String {
    let text = format!("{error:?}");
    text.split(['(', ' ', '{']).next().unwrap_or_default().into()
}

/// What a body waits at until the test says `go`.
fn gate(id: u64) -> Arc<Notify> {
    static GATES: LazyLock<Mutex<HashMap<u64, Arc<Notify>>>> = LazyLock::new(Mutex::default);
    GATES
        .lock()
        .expect("no holder panicked")
        .entry(id)
        .or_default()
        .clone()
}

fn say(id: u64, event: impl Display) {
    println!(">{id} {event}");
}

fn milliseconds(text: &str) -> Duration {
    Duration::from_millis(text.parse().expect("milliseconds"))
}
