//! The worker process: this test binary, started again by [`dspinlock_testkit::Worker`].
//!
//! It reads requests from its standard input, calls annotated functions, and prints their events.

use std::collections::HashMap;
use std::fmt::Display;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, OnceLock};
use std::task::Poll;
use std::time::{Duration, SystemTime};
use std::{env, io, process, thread};

use dspinlock::{DSpinlockBase, Error, HashDSpinlock, Pool, Wait, dspinlock};
use dspinlock_runtime::internals::clock;
use dspinlock_testkit::Journal;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::lock::Named;
use super::logs;

/// The environment variable that sets the secret of the worker's pool.
pub(crate) const SECRET: &str = "DSPINLOCK_TEST_SECRET";

/// The environment variable that sets the secrets of its signatures, separated by commas.
pub(crate) const SECRETS: &str = "DSPINLOCK_TEST_SECRETS";

/// Not a test: the main function of the worker process. In an ordinary run it returns at once.
#[test]
fn main() {
    if env::var_os("DSPINLOCK_TEST_WORKER").is_none() {
        return;
    }
    // The test harness has started a line.
    println!();
    logs::capture();
    if let (Ok(secret), Ok(url)) = (env::var(SECRET), env::var("DSPINLOCK_URL")) {
        let mut builder = Pool::builder(&url).secret(secret);
        if let Ok(secrets) = env::var(SECRETS) {
            builder = builder.secrets(secrets.split(','));
        }
        let pool = builder.open();
        dspinlock::init(pool.expect("the pool can be opened")).expect("the global pool is initialized once");
    }
    // A single thread: a body that blocks it blocks all tasks of the runtime.
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let mut calls: HashMap<u64, AbortHandle> = HashMap::new();
    for line in io::stdin().lines().map_while(Result::ok) {
        let (id, request) = line.split_once(' ').expect("a line is `<id> <request>`");
        let id: u64 = id.parse().expect("the id is a number");
        match request {
            "open" => gate(id).notify_one(),
            "logs" => {
                logs::lines().iter().for_each(|line| report(id, line));
                report(id, "end");
            }
            "in_use" => {
                let mut in_use = dspinlock::__private::in_use();
                in_use.tasks += runtime.metrics().num_alive_tasks();
                report(id, format_args!("{in_use:?}"));
            }
            "tasks" => {
                let own = runtime.metrics().num_alive_tasks();
                report(id, own + dspinlock::__private::in_use().tasks);
            }
            time if time.starts_with("suspend ") => {
                clock::advance(milliseconds(&time["suspend ".len()..]));
                report(id, "end");
            }
            limit if limit.starts_with("limit ") => {
                dspinlock_testkit::apply_limit(&limit["limit ".len()..]);
                report(id, "end");
            }
            "drop" => drop(calls.remove(&id).map(|call| call.abort())),
            call => {
                calls.retain(|_, call| !call.is_finished());
                calls.insert(id, start(&runtime, id, call));
            }
        }
    }
    // The test has dropped its worker. Bodies may still run.
    process::exit(0);
}

fn start(runtime: &Runtime, id: u64, request: &str) -> AbortHandle {
    let (function, job) = Job::parse(id, request);
    let caller = job.clone();
    let wait = caller.sleep.saturating_mul(caller.tries);
    caller.record(
        "call",
        format_args!("{} {}", wait.as_millis(), caller.ttl.as_millis()),
    );
    let limits = job.clone();
    let call = match function {
        "cached" => runtime.spawn(limits.drop_early(cached(job))),
        "uncached" => runtime.spawn(limits.drop_early(uncached(job))),
        "once" => runtime.spawn(once(job)),
        "shared" => runtime.spawn(limits.drop_early(call_shared(job))),
        "shared_uncached" => {
            runtime.spawn(limits.drop_early(async move { shared_uncached(&job.key, &job).await }))
        }
        "near" => runtime.spawn(near(job)),
        "near_sync" => runtime.spawn_blocking(|| near_sync(job)),
        "delete" => runtime.spawn(delete(job)),
        "delete_near" => runtime.spawn(delete_near(job)),
        "delete_and_compute" => runtime.spawn(delete_and_compute(job)),
        "cached_sync" => runtime.spawn_blocking(|| cached_sync(job)),
        "cached_twin" => runtime.spawn_blocking(|| call_in_task(job)),
        "cached_ended" => runtime.spawn_blocking(|| call_on_ending_runtime(job)),
        "replicated" => runtime.spawn(replicated(job)),
        "uncached_sync" => runtime.spawn_blocking(|| uncached_sync(job)),
        other => panic!("no function {other}"),
    };
    let handle = call.abort_handle();
    runtime.spawn(async move {
        let outcome = match call.await {
            Ok(Ok(value)) if value.len() > 1000 => format!("ok {} bytes", value.len()),
            Ok(Ok(value)) => format!("ok {value}"),
            // No message and no log line may contain a secret.
            Ok(Err(Failure::Lock(error))) if logs::leaks(Some(&error)) => {
                format!("err LEAK {error:?} {:?}", logs::lines())
            }
            Ok(Err(Failure::Lock(error))) => format!("err {}", variant(&error)),
            Ok(Err(Failure::Body)) => "err Body".into(),
            Ok(Err(Failure::Dropped)) => "err dropped".into(),
            Err(error) if error.is_panic() => "err panic".into(),
            Err(_) => "err dropped".into(),
        };
        caller.record("out", &outcome);
        report(id, outcome);
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
    key = job.key, lease = job.lease, max_block_time = job.block,
    max_spinlock_tries = job.tries, spinlock_sleep_thresh = job.sleep
)]
async fn uncached(job: Job) -> Result<String, Failure> {
    job.run().await
}

#[dspinlock(
    key = job.key, lease = job.lease, max_block_time = job.block,
    max_spinlock_tries = job.tries, spinlock_sleep_thresh = job.sleep
)]
fn uncached_sync(job: Job) -> Result<String, Failure> {
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

/// Its key is shared with Python workers.
#[dspinlock(
    key = key, name = "", cached_if_computed, lease = job.lease, ttl = job.ttl, max_block_time = job.block,
    max_spinlock_tries = job.tries, spinlock_sleep_thresh = job.sleep
)]
async fn shared(key: &str, job: &Job, value: &OnceLock<String>) -> Result<(), Failure> {
    let _ = value.set(job.run().await?);
    Ok(())
}

/// The value of the body, or `computed` if the body did not run, because a shared key keeps no value.
async fn call_shared(job: Job) -> Result<String, Failure> {
    let value = OnceLock::new();
    shared(&job.key, &job, &value).await?;
    Ok(value.into_inner().unwrap_or_else(|| "computed".into()))
}

#[dspinlock(
    key = key, name = "", lease = job.lease, ttl = job.ttl, max_block_time = job.block,
    max_spinlock_tries = job.tries, spinlock_sleep_thresh = job.sleep
)]
async fn shared_uncached(key: &str, job: &Job) -> Result<String, Failure> {
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

/// A runtime with two workers: one drives the timers of a body while a task blocks the other.
fn own_runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Makes a blocking call inside a task.
fn call_in_task(job: Job) -> Result<String, Failure> {
    let runtime = own_runtime();
    match runtime.block_on(runtime.spawn(async { cached_sync(job) })) {
        Ok(result) => result,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Makes a call on a runtime that soon ends, and drops the call then.
fn call_on_ending_runtime(job: Job) -> Result<String, Failure> {
    let runtime = own_runtime();
    let call = runtime.spawn(cached(job));
    let ended = runtime.block_on(async { tokio::time::timeout(Duration::from_millis(20), call).await });
    match ended {
        Ok(Ok(result)) => result,
        Ok(Err(error)) => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(Failure::Dropped),
    }
}

/// Deletes the key of the `shared` functions.
async fn delete(job: Job) -> Result<String, Failure> {
    job.record("delete", "");
    let deleted = HashDSpinlock::new(&job.key).delete_state().await?;
    job.record("deleted", "");
    Ok(deleted.to_string())
}

/// Deletes the key of `near`.
async fn delete_near(job: Job) -> Result<String, Failure> {
    job.record("delete", "");
    let site = concat!(module_path!(), "::near");
    let deleted = Named::of(site, &job.key).delete_state().await?;
    job.record("deleted", "");
    Ok(deleted.to_string())
}

/// Deletes and computes in turn. Counts the values that did not change.
async fn delete_and_compute(job: Job) -> Result<String, Failure> {
    let mut stale = 0;
    let mut before = near(job.clone()).await?;
    for _ in 0..200 {
        // Twice, so that the near cache has it.
        near(job.clone()).await?;
        near(job.clone()).await?;
        delete_near(job.clone()).await?;
        let after = near(job.clone()).await?;
        stale += usize::from(after == before);
        before = after;
    }
    Ok(format!("{stale} stale"))
}

/// A parsed request for a call.
#[derive(Debug, Clone)]
struct Job {
    id: u64,
    /// The name of the lock in the journal.
    lock: String,
    key: String,
    /// Steps, separated by `+`.
    body: String,
    value: Option<String>,
    journal: Option<Journal>,
    lease: Duration,
    ttl: Duration,
    block: Duration,
    sleep: Duration,
    tries: u32,
    near: Duration,
    /// The call is dropped after so many pending polls: at once, or, if `late`, when it would be polled again.
    polls: u32,
    late: bool,
    timeout: Duration,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Lock(#[from] Error),
    #[error("the body failed as requested")]
    Body,
    #[error("the call was dropped as requested")]
    Dropped,
}

impl Job {
    /// `call cached key=a body=sleep:300+err lease=2000`; times are in milliseconds.
    fn parse(id: u64, request: &str) -> (&str, Self) {
        let mut words = request.split(' ').skip(1);
        let function = words.next().expect("the request has a function");
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
        for (name, value) in words.map(|word| word.split_once('=').expect("an option is `name=value`")) {
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
            "cached_twin" => "cached_sync",
            "cached_ended" => "cached",
            "shared" | "shared_uncached" | "delete" => "shared",
            "delete_near" | "delete_and_compute" => "near",
            own => own,
        };
        job.lock = format!("{scope}:{}", job.key);
        (function, job)
    }

    /// Drops the call after its number of polls or its timeout.
    async fn drop_early(
        self,
        call: impl Future<Output = Result<String, Failure>>,
    ) -> Result<String, Failure> {
        let mut call = pin!(call);
        let mut remaining = self.polls;
        let polled = poll_fn(|context| {
            if remaining == 0 {
                return Poll::Ready(Err(Failure::Dropped));
            }
            remaining -= 1;
            match call.as_mut().poll(context) {
                Poll::Pending if remaining == 0 && !self.late => Poll::Ready(Err(Failure::Dropped)),
                polled => polled,
            }
        });
        let result = tokio::time::timeout(self.timeout, polled).await;
        result.unwrap_or(Err(Failure::Dropped))
    }

    /// The body of every function.
    async fn run(&self) -> Result<String, Failure> {
        static COMPUTED: AtomicU64 = AtomicU64::new(0);
        let lease = dspinlock::current();
        let fence = lease.as_ref().map_or(0, |lease| lease.fence());
        self.record("begin", fence);
        report(self.id, format_args!("started {fence}"));
        for step in self.body.split('+') {
            match step.split_once(':').unwrap_or((step, "")) {
                ("", _) => {}
                ("sleep", time) => tokio::time::sleep(milliseconds(time)).await,
                ("block", time) => thread::sleep(milliseconds(time)),
                ("gate", _) => gate(self.id).notified().await,
                ("lost", _) => {
                    lease.as_ref().expect("a body has a lease").lost().await;
                    report(self.id, "lost");
                }
                ("suspend", time) => {
                    clock::advance(milliseconds(time));
                    let is_lost = lease.as_ref().is_some_and(|lease| lease.is_lost());
                    report(self.id, if is_lost { "is lost" } else { "is held" });
                }
                ("clock", _) => {
                    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
                    report(
                        self.id,
                        format_args!("clock {}", since.map_or(0, |since| since.as_secs())),
                    );
                }
                ("err", _) => return Err(Failure::Body),
                ("panic", _) => panic!("requested"),
                ("nest", key) => {
                    let (key, body) = (key.into(), String::new());
                    let tries = 2;
                    let nested = Self {
                        key,
                        body,
                        tries,
                        ..self.clone()
                    };
                    if let Err(Failure::Lock(error)) = Box::pin(uncached(nested)).await {
                        report(self.id, error);
                    }
                }
                ("explicit", key) => {
                    let lock = HashDSpinlock::new(key).wait(Wait::AtMost(Duration::ZERO));
                    if let Err(error) = lock.acquire().await {
                        report(self.id, error);
                    }
                }
                ("recurse", _) => return Box::pin(cached(self.clone())).await,
                (other, _) => panic!("no step {other}"),
            }
        }
        let number = COMPUTED.fetch_add(1, Ordering::Relaxed);
        let computed = || format!("{}-{number}", process::id());
        let value = self.value.clone().unwrap_or_else(computed);
        let lost = lease.is_some_and(|lease| lease.is_lost());
        let lease = if lost { "lost" } else { "held" };
        self.record("end", format_args!("{fence} {lease} {value}"));
        Ok(value)
    }

    /// Appends an event to the journal, in the format of [`dspinlock_testkit::History`].
    fn record(&self, event: &str, what: impl Display) {
        if let Some(journal) = &self.journal {
            let tag = format_args!("{}-{}", process::id(), self.id);
            journal.append(format_args!("{event} {tag} {} {what}", self.lock));
        }
    }
}

/// The name of the variant of an error.
pub(crate) fn variant(error: &Error) -> String {
    let text = format!("{error:?}");
    text.split(['(', ' ', '{']).next().unwrap_or_default().into()
}

/// The gate of a call. Its body waits until the test opens it.
fn gate(id: u64) -> Arc<Notify> {
    static GATES: LazyLock<Mutex<HashMap<u64, Arc<Notify>>>> = LazyLock::new(Mutex::default);
    GATES
        .lock()
        .expect("the mutex is not poisoned")
        .entry(id)
        .or_default()
        .clone()
}

fn report(id: u64, event: impl Display) {
    println!(">{id} {event}");
}

fn milliseconds(text: &str) -> Duration {
    Duration::from_millis(text.parse().expect("milliseconds"))
}
