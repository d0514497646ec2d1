//! How soon a dropped call or lease frees its key, and what calls of that key in this process notice.

use std::fmt;
use std::sync::mpsc::channel;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use dspinlock::{Pool, dspinlock};
use dspinlock_testkit::BareClient;
use tokio::runtime::Runtime;

use super::cell::{WARM, unique_key};
use super::functions::{Gate, VALUE, compute, compute_blocking, lock};
use super::operation::{Work, assert_hit, enter_body, poll_once};
use super::process::{fail, is_long, note};
use super::runtime::{Flavor, each};
use crate::common::lock::locked;

const LIMIT: Duration = Duration::from_millis(50);

/// A leader that is not polled is replaced after 100 ms.
const REPLACED_WITHIN: Duration = Duration::from_millis(500);

/// Far longer than everything else.
const HANG: Duration = Duration::from_secs(2);

/// Long enough for the waiter to query the store.
const SHORT_PAUSE: Duration = Duration::from_millis(20);

/// What the runtime does while its call or lease is dropped.
#[derive(Debug, Clone, Copy)]
enum State {
    Driven,
    /// The task that drops it then blocks the only worker.
    Blocked,
    /// A plain thread drops it, and nobody drives the runtime.
    Idle,
    /// The end of the runtime drops it.
    Ended,
}

const STATES: [State; 4] = [State::Driven, State::Blocked, State::Idle, State::Ended];

/// What is dropped.
#[derive(Debug, Clone, Copy)]
enum Dropped {
    Lease,
    /// A call in its body.
    Call,
    /// A call that has sent its first request.
    Begun,
}

fn rounds() -> usize {
    if is_long() { 200 } else { 20 }
}

pub(super) fn run() {
    let bare = BareClient::start();
    compute_blocking(WARM, &Gate::default()).expect("the store works");
    // Its connections are not those of the global pool, as in another process.
    let url = std::env::var("DSPINLOCK_URL").expect("the test names the store");
    let other = Pool::open(&url).expect("the pool can be opened");
    for state in STATES {
        for dropped in [Dropped::Lease, Dropped::Call] {
            let times = (0..rounds()).map(|_| time_to_next_grant(state, dropped, &other));
            assert_within(
                &bare,
                LIMIT,
                format_args!("{dropped:?}, {state:?}: free"),
                times.collect(),
            );
        }
        for dropped in [Dropped::Call, Dropped::Begun] {
            let times = (0..rounds()).flat_map(|_| times_of_hits(state, dropped));
            assert_within(
                &bare,
                LIMIT,
                format_args!("{dropped:?}, {state:?}: hits"),
                times.collect(),
            );
        }
    }
    for flavor in [Flavor::CurrentThread, Flavor::MultiThread(1)] {
        let times = (0..rounds() / 4).flat_map(|_| times_beside_a_leader_that_is_not_polled(flavor));
        assert_within(
            &bare,
            REPLACED_WITHIN,
            format_args!("a leader that is not polled, {flavor:?}: hits"),
            times.collect(),
        );
    }
}

/// Its key is the key of an explicit lock.
#[dspinlock(name = "", key = key, lease = "60s", wait = "60s")]
async fn shared(key: &str, gate: &Gate) -> Result<u32, dspinlock::Error> {
    gate.enter();
    gate.pass().await;
    Ok(VALUE)
}

/// Returns how long after the drop a waiter with other connections gets the lock.
fn time_to_next_grant(state: State, dropped: Dropped, other: &Pool) -> Duration {
    let (flavor, key) = (state.flavor(), unique_key());
    let runtime = warm(flavor);
    let work = prepare(&runtime, dropped, key.clone(), true);
    let waiting = lock(&key).pool(other);
    let (send, granted) = channel();
    thread::spawn(move || {
        let lease = locked(waiting.acquire_blocking());
        // Fails if the key was not freed in time.
        let _ = send.send((Instant::now(), lease));
    });
    sleep(SHORT_PAUSE);
    state.drop_then(runtime, work, |start| match granted.recv_timeout(HANG) {
        Ok((granted, _)) => granted - start,
        Err(_) => HANG,
    })
}

/// Drops the first call of a key, and returns how long the next calls of that key take in a plain thread.
fn times_of_hits(state: State, dropped: Dropped) -> Vec<Duration> {
    let key = unique_key();
    let runtime = warm(state.flavor());
    if matches!(dropped, Dropped::Begun) {
        compute_blocking(&key, &Gate::default()).expect("the store works");
    }
    let work = prepare(&runtime, dropped, key.clone(), false);
    state.drop_then(runtime, work, |_| time_calls(key))
}

/// Nobody polls the leader of a key whose value is stored. Only the first of the other calls notices.
fn times_beside_a_leader_that_is_not_polled(flavor: Flavor) -> Vec<Duration> {
    let key = unique_key();
    let runtime = warm(flavor);
    compute_blocking(&key, &Gate::default()).expect("the store works");
    let work = prepare(&runtime, Dropped::Begun, key.clone(), false);
    let times = {
        let _blocked = flavor.block(&runtime);
        time_calls(key)
    };
    drop(work);
    times
}

/// Makes some calls, and returns how long each takes.
fn time_calls(key: String) -> Vec<Duration> {
    let (send, times) = channel();
    thread::spawn(move || {
        let times: Vec<Duration> = (0..10)
            .map(|_| {
                let start = Instant::now();
                let value = compute_blocking(&key, &Gate::default());
                assert_eq!(value.unwrap(), VALUE);
                start.elapsed()
            })
            .collect();
        // Fails if the calls took too long.
        let _ = send.send(times);
    });
    times.recv_timeout(HANG).unwrap_or(vec![HANG])
}

/// A runtime that has made some calls.
fn warm(flavor: Flavor) -> Runtime {
    let runtime = flavor.build("release_time");
    let hits = async {
        for _ in 0..10 {
            assert_hit(WARM).await;
        }
    };
    each(&runtime, std::iter::once(hits));
    runtime
}

/// What will be dropped.
fn prepare(runtime: &Runtime, dropped: Dropped, key: String, is_shared: bool) -> Work {
    each(runtime, std::iter::once(prepared(dropped, key, is_shared))).remove(0)
}

async fn prepared(dropped: Dropped, key: String, is_shared: bool) -> Work {
    match dropped {
        Dropped::Lease => {
            let lease = locked(lock(&key).acquire().await);
            Box::pin(async move { drop(lease) }) as Work
        }
        Dropped::Call if is_shared => {
            let gate = Gate::default();
            let body = gate.clone();
            enter_body(&gate, async move {
                assert_eq!(shared(&key, &body).await.unwrap(), VALUE)
            })
            .await
        }
        Dropped::Call => {
            let gate = Gate::default();
            let body = gate.clone();
            enter_body(&gate, async move {
                assert_eq!(compute(&key, &body).await.unwrap(), VALUE)
            })
            .await
        }
        Dropped::Begun => {
            let mut call: Work = Box::pin(async move { assert_hit(&key).await });
            let _ = poll_once(&mut call).await;
            call
        }
    }
}

impl State {
    fn flavor(self) -> Flavor {
        match self {
            Self::Driven | Self::Blocked => Flavor::MultiThread(1),
            Self::Idle | Self::Ended => Flavor::CurrentThread,
        }
    }

    /// Drops `work` as this state says, and calls `then` with the time of the drop.
    fn drop_then<T>(self, runtime: Runtime, work: Work, then: impl FnOnce(Instant) -> T) -> T {
        match self {
            Self::Driven => {
                let start = Instant::now();
                each(&runtime, std::iter::once(async move { drop(work) }));
                then(start)
            }
            Self::Blocked => {
                let (send, dropped) = channel();
                let (end, ended) = channel::<()>();
                runtime.spawn(async move {
                    let start = Instant::now();
                    drop(work);
                    send.send(start).expect("the test waits");
                    // Until the sender is dropped.
                    let _ = ended.recv();
                });
                let found = then(dropped.recv().expect("the task does not panic"));
                drop(end);
                found
            }
            Self::Idle => {
                let start = Instant::now();
                drop(work);
                then(start)
            }
            Self::Ended => {
                runtime.spawn(async move {
                    std::future::pending::<()>().await;
                    drop(work);
                });
                let start = Instant::now();
                drop(runtime);
                then(start)
            }
        }
    }
}

/// Checks the 99th percentile. A loaded machine may delay it.
fn assert_within(bare: &BareClient, limit: Duration, what: impl fmt::Display, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    let (median, p90, p99, max) = (at(50), at(90), at(99), times[times.len() - 1]);
    let delay = bare.delay();
    let figures = format!(
        "{what}: median {median:.1?}, p90 {p90:.1?}, p99 {p99:.1?}, max {max:.1?}, delay {delay:.1?}"
    );
    note(&figures);
    if p99 > limit + delay {
        fail(figures);
    }
}
