//! `fork`: the child uses nothing that it inherited, and both processes work at once.

use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::pin::Pin;
use std::process::exit;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::task::{Context, Poll, Waker};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use dspinlock::{Acquired, Error, HashDSpinlock, Lease, Pool, Wait, dspinlock};
use dspinlock_testkit::Redis;
use fork::{Fork, fork, waitpid_nohang};
use rustix::process::{Pid, Signal, kill_process};
use tokio::runtime::Builder;

use crate::program as command;

/// The first call of a child.
const FIRST_CALL: Duration = Duration::from_secs(2);

/// A child that takes longer hangs.
const CHILD_TIMEOUT: Duration = Duration::from_secs(40);

/// Hits of each process after a fork.
const HITS: u64 = 12_500;

const KEYS: u32 = 64;

/// Longer than a round trip on a loaded machine.
const SHORT_LEASE: Duration = Duration::from_secs(2);

pub(crate) fn a_forked_child_and_its_parent_work_at_once() {
    for round in 0..4 {
        on_each(&format!(
            "busy {}",
            if round % 2 == 0 { "main" } else { "thread" }
        ));
    }
}

/// The embedded store says so if it cannot be used, and otherwise works.
pub(crate) fn a_child_that_is_forked_in_the_middle_of_a_call_never_hangs() {
    on_each("race");
}

pub(crate) fn a_forked_child_may_open_the_first_pool() {
    on_each("first");
}

pub(crate) fn a_pool_of_the_parent_is_an_error_in_the_child() {
    on_each("inherited");
}

pub(crate) fn the_global_pool_opens_itself_again_in_the_child() {
    on_each("global");
    on_each("init");
}

pub(crate) fn a_forked_child_changes_nothing_of_its_parent() {
    on_each("harmless");
}

pub(crate) fn a_lock_of_a_forked_child_is_renewed() {
    on_each("lock");
}

/// Only a server has connections.
pub(crate) fn a_forked_child_may_continue_with_the_runtime_of_its_parent() {
    on("runtime", &Redis::start().url());
}

/// Runs the program on a new server and on a new file.
fn on_each(words: &str) {
    let (server, folder) = (Redis::start(), tempfile::tempdir().expect("a temporary folder"));
    on(words, &server.url());
    on(words, &format!("sqlite:{}/locks.db", folder.path().display()));
}

fn on(words: &str, url: &str) {
    let start = Instant::now();
    let status = command(&format!("fork {words}"), url).status();
    let status = status.expect("the program starts");
    println!(
        "fork {words} on {}: {:.1?}",
        url.split(':').next().unwrap_or_default(),
        start.elapsed()
    );
    assert!(status.success(), "fork {words} on {url}: {status}");
}

pub(crate) fn program(words: &[&str]) {
    match words {
        ["busy", "main"] => busy(),
        ["busy", "thread"] => thread::spawn(busy)
            .join()
            .expect("the thread that forks succeeds"),
        ["race"] => race(),
        ["first"] => first(),
        ["inherited"] => inherited(),
        ["global"] => global(),
        ["init"] => init(),
        ["harmless"] => harmless(),
        ["lock"] => lock(),
        ["runtime"] => runtime(),
        other => panic!("no program {other:?}"),
    }
}

#[dspinlock(key = key, cached_if_computed)]
async fn value(key: u32) -> Result<String, Error> {
    Ok(format!("value {key}"))
}

#[dspinlock(key = key, cached_if_computed)]
fn value_sync(key: u32) -> Result<String, Error> {
    Ok(format!("sync {key}"))
}

#[dspinlock(key = key, cached_if_computed, near_cache = "60s")]
fn value_near(key: u32) -> Result<String, Error> {
    Ok(format!("near {key}"))
}

/// Never ends by itself.
#[dspinlock(key = key, name = "pending", lease = SHORT_LEASE)]
async fn pending(key: &str) -> Result<(), Error> {
    std::future::pending().await
}

/// Tries to take the lock of [`pending`].
#[dspinlock(key = key, name = "pending", wait = "0s")]
async fn try_call(key: &str) -> Result<(), Error> {
    Ok(())
}

fn lease(key: &str) -> Lease {
    match try_lock(key) {
        Ok(Acquired::Locked(lease)) => lease,
        other => panic!("{key}: {other:?}"),
    }
}

fn try_lock(key: &str) -> Result<Acquired, Error> {
    let wait = Wait::AtMost(Duration::ZERO);
    HashDSpinlock::new(key)
        .lease(SHORT_LEASE)
        .wait(wait)
        .acquire_blocking()
}

fn is_held_async(key: &'static str) -> bool {
    let mut call: Call = Box::pin(try_call(key));
    matches!(
        poll_for(&mut call, Duration::from_secs(5)),
        Some(Err(Error::SpinlockTriesExceeded { .. }))
    )
}

fn is_held(key: &str) -> bool {
    matches!(try_lock(key), Err(Error::SpinlockTriesExceeded { .. }))
}

/// Forks. Returns `None` in the child.
fn forked() -> Option<Child> {
    // What the last calls left behind, such as an ABORT: SQLite must be idle.
    sleep(Duration::from_millis(50));
    fork_now()
}

fn fork_now() -> Option<Child> {
    match fork().expect("the process forks") {
        Fork::Parent(id) => Some(Child(id)),
        Fork::Child => None,
    }
}

type Call = Pin<Box<dyn Future<Output = Result<(), Error>>>>;

struct Child(i32);

impl Child {
    /// Waits until the child has exited, and checks that it succeeded.
    fn join(self) {
        let start = Instant::now();
        loop {
            match waitpid_nohang(self.0).expect("the child exists") {
                Some(status) => {
                    assert_eq!(status, 0, "the child failed");
                    return;
                }
                None if start.elapsed() > CHILD_TIMEOUT => {
                    let child = Pid::from_raw(self.0).expect("an id");
                    kill_process(child, Signal::KILL).expect("the child exists");
                    panic!("the child hangs");
                }
                None => sleep(Duration::from_millis(1)),
            }
        }
    }
}

/// Eight threads make calls at the time of the fork and afterwards.
fn busy() {
    let stop = Arc::new(AtomicBool::new(false));
    let hits = Arc::new(AtomicU64::new(0));
    let threads: Vec<_> = (0..8).map(|number| caller(number, &stop, &hits)).collect();
    let held = lease("parent");
    let other = Pool::open(&url()).expect("the store opens");
    drop(
        HashDSpinlock::new("other")
            .pool(&other)
            .acquire_blocking()
            .expect("the store works"),
    );
    let mut inside = call("inside");
    assert!(poll_for(&mut inside, Duration::from_millis(500)).is_none());
    while hits.load(Ordering::Relaxed) < 2000 {
        sleep(Duration::from_millis(1));
    }
    // SQLite cannot be used in a child that was forked in the middle of a call.
    let pause = url().starts_with("sqlite").then(|| CALLING.write());
    let child = forked();
    drop(pause);
    let Some(child) = child else {
        let start = Instant::now();
        assert_eq!(value_sync(1).expect("the first call of the child"), "sync 1");
        let elapsed = start.elapsed();
        println!("the first call of the child: {elapsed:.1?}");
        assert!(elapsed <= FIRST_CALL, "{elapsed:?}");
        assert!(held.is_lost());
        drop(held);
        drop(inside);
        let result = HashDSpinlock::new("other").pool(&other).acquire_blocking();
        assert!(matches!(result, Err(Error::Forked)), "{result:?}");
        drop(other);
        work_of_child();
        exit(0);
    };
    let start = hits.load(Ordering::Relaxed);
    while hits.load(Ordering::Relaxed) < start + HITS {
        sleep(Duration::from_millis(1));
    }
    child.join();
    stop.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().expect("no call of the parent fails");
    }
    assert!(!held.is_lost());
    assert!(is_held("parent"));
    sleep(SHORT_LEASE);
    assert!(!held.is_lost(), "the lease of the parent is renewed");
    held.release_blocking().expect("the lease of the parent is held");
    assert!(is_held_async("inside"));
    drop(inside);
}

/// Hits by threads of the child, each of which starts its own kind of reader.
fn work_of_child() {
    let stop = Arc::new(AtomicBool::new(false));
    let hits = Arc::new(AtomicU64::new(0));
    let threads: Vec<_> = (0..6).map(|number| caller(number, &stop, &hits)).collect();
    while hits.load(Ordering::Relaxed) < HITS && !threads.iter().any(|thread| thread.is_finished()) {
        sleep(Duration::from_millis(1));
    }
    stop.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().expect("no call of the child fails");
    }
}

/// Held by a thread while it makes a call.
static CALLING: RwLock<()> = RwLock::new(());

/// A thread that makes calls until `stop`, and counts the hits.
fn caller(number: u32, stop: &Arc<AtomicBool>, hits: &Arc<AtomicU64>) -> thread::JoinHandle<()> {
    static MISSES: AtomicU32 = AtomicU32::new(1000);
    let (stop, hits) = (stop.clone(), hits.clone());
    thread::spawn(move || {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        for round in 0.. {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let key = round % KEYS;
            let _calling = CALLING.read();
            let (found, expected) = match number {
                0..3 => (runtime.block_on(value(key)), format!("value {key}")),
                3..5 => (value_sync(key), format!("sync {key}")),
                5 => (value_near(key), format!("near {key}")),
                _ => {
                    let key = MISSES.fetch_add(1, Ordering::Relaxed);
                    (value_sync(key), format!("sync {key}"))
                }
            };
            assert_eq!(found.expect("no call fails"), expected);
            if number < 6 {
                hits.fetch_add(1, Ordering::Relaxed);
            }
        }
    })
}

fn call(key: &'static str) -> Call {
    Box::pin(pending(key))
}

/// Polls on this thread for at most `time`.
fn poll_for(future: &mut Call, time: Duration) -> Option<Result<(), Error>> {
    let start = Instant::now();
    while start.elapsed() < time {
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => return Some(output),
            Poll::Pending => sleep(Duration::from_millis(1)),
        }
    }
    None
}

fn url() -> String {
    std::env::var("DSPINLOCK_URL").expect("a program has a store")
}

/// Forks again and again while four threads make calls, some of which write.
fn race() {
    let (stop, hits) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let threads: Vec<_> = [0, 3, 6, 7].map(|number| caller(number, &stop, &hits)).into();
    let held = lease("parent");
    for _ in 0..20 {
        sleep(Duration::from_millis(20));
        let Some(child) = fork_now() else {
            let start = Instant::now();
            let first = value_sync(1);
            assert!(start.elapsed() <= FIRST_CALL, "{:?}", start.elapsed());
            if let Err(error) = &first {
                assert!(matches!(error, Error::EmbeddedNotInitialized { .. }), "{error:?}");
                assert!(
                    error.to_string().contains("at the moment of the `fork`"),
                    "{error}"
                );
                exit(0);
            }
            for key in 0..200 {
                assert_eq!(value_sync(key).expect("the store works"), format!("sync {key}"));
            }
            println!("a child works");
            exit(0);
        };
        child.join();
    }
    stop.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().expect("no call of the parent fails");
    }
    assert!(!held.is_lost());
}

fn first() {
    let Some(child) = forked() else {
        assert_eq!(value_sync(1).expect("the store opens"), "sync 1");
        exit(0);
    };
    assert_eq!(value_sync(1).expect("the store opens"), "sync 1");
    child.join();
}

fn inherited() {
    let pool = Pool::open(&url()).expect("the store opens");
    let lock = |key: &str| HashDSpinlock::new(key).pool(&pool);
    drop(lock("key").acquire_blocking().expect("the store works"));
    let Some(child) = forked() else {
        for result in [
            lock("key").acquire_blocking().map(drop),
            lock("key").delete_state_blocking().map(drop),
        ] {
            let error = result.expect_err("the pool belongs to the parent");
            assert!(matches!(error, Error::Forked), "{error:?}");
            assert!(
                error.to_string().contains("open a new pool in the child"),
                "{error}"
            );
        }
        let own = Pool::open(&url()).expect("the store opens");
        drop(
            HashDSpinlock::new("key")
                .pool(&own)
                .acquire_blocking()
                .expect("the new pool works"),
        );
        let Some(grandchild) = forked() else {
            let result = HashDSpinlock::new("key").pool(&own).acquire_blocking();
            assert!(matches!(result, Err(Error::Forked)), "{result:?}");
            value_sync(2).expect("the global pool works");
            exit(0);
        };
        grandchild.join();
        exit(0);
    };
    child.join();
    drop(
        lock("key")
            .acquire_blocking()
            .expect("the pool of the parent works"),
    );
}

fn global() {
    value_near(1).expect("the store works");
    value_near(1).expect("the store works");
    let Some(child) = forked() else {
        assert_eq!(value_near(1).expect("the global pool works"), "near 1");
        assert_eq!(value_sync(1).expect("the global pool works"), "sync 1");
        let Some(grandchild) = forked() else {
            assert_eq!(value_sync(1).expect("the global pool works"), "sync 1");
            exit(0);
        };
        grandchild.join();
        exit(0);
    };
    child.join();
    assert_eq!(value_sync(1).expect("the global pool works"), "sync 1");
}

/// A global pool with a secret opens itself again with the same secret, or `init` sets another one.
fn init() {
    let secret = "a secret of sixteen bytes or more";
    let open = || {
        Pool::builder(&url())
            .secret(secret)
            .open()
            .expect("the store opens")
    };
    dspinlock::init(open()).expect("the first pool");
    value_sync(1).expect("the store works");
    let is_stored = || {
        let start = computed();
        value_counted(1).expect("the store works");
        computed() == start
    };
    assert!(!is_stored());
    let Some(child) = forked() else {
        assert!(is_stored(), "the child has the secret of its parent");
        assert!(dspinlock::init(Pool::open(&url()).expect("the store opens")).is_err());
        exit(0);
    };
    child.join();
    let Some(child) = forked() else {
        dspinlock::init(Pool::open(&url()).expect("the store opens"))
            .expect("the child has no global pool yet");
        assert!(!is_stored(), "the child has no secret");
        exit(0);
    };
    child.join();
}

static COUNTED: AtomicU32 = AtomicU32::new(0);

fn computed() -> u32 {
    COUNTED.load(Ordering::Relaxed)
}

#[dspinlock(key = key, cached_if_computed)]
fn value_counted(key: u32) -> Result<u32, Error> {
    COUNTED.fetch_add(1, Ordering::Relaxed);
    Ok(key)
}

/// The child drops, polls and exits with everything that it inherited.
fn harmless() {
    let held = lease("held");
    let dropped = lease("dropped");
    let released = lease("released");
    let [mut inside, mut leader, mut follower] = ["inside", "flight", "flight"].map(call);
    for call in [&mut inside, &mut leader, &mut follower] {
        assert!(poll_for(call, Duration::from_millis(300)).is_none());
    }
    let Some(child) = forked() else {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        for lease in [&held, &dropped, &released] {
            assert!(lease.is_lost());
            runtime.block_on(lease.lost());
        }
        let result = released.release_blocking();
        assert!(matches!(result, Err(Error::LeaseLost { .. })), "{result:?}");
        drop((dropped, inside));
        let polled = poll_for(&mut follower, Duration::from_secs(1));
        assert!(matches!(polled, Some(Err(Error::Forked))), "{polled:?}");
        drop(leader);
        // `held` is a local of the child when its process exits.
        exit(0);
    };
    child.join();
    assert!(is_held_async("inside") && is_held_async("flight"));
    for key in ["held", "dropped", "released"] {
        assert!(is_held(key), "{key}");
    }
    sleep(2 * SHORT_LEASE);
    for key in ["held", "dropped", "released"] {
        assert!(is_held(key), "{key} is renewed");
    }
}

fn lock() {
    value_sync(1).expect("the store works");
    let (mut locked, has_locked) = pipe().expect("a pipe");
    let (done, mut is_done) = pipe().expect("a pipe");
    let Some(child) = forked() else {
        hold(has_locked, done);
        exit(0);
    };
    locked.read_exact(&mut [0]).expect("the child has the lock");
    let start = Instant::now();
    while start.elapsed() < 3 * SHORT_LEASE {
        assert!(is_held("child"), "lost after {:?}", start.elapsed());
        sleep(Duration::from_millis(20));
    }
    is_done.write_all(&[1]).expect("the child waits");
    child.join();
    assert!(!is_held("child"));
}

fn hold(mut has_locked: PipeWriter, mut done: PipeReader) {
    let held = lease("child");
    has_locked.write_all(&[1]).expect("the parent waits");
    done.read_exact(&mut [0]).expect("the parent is alive");
    assert!(!held.is_lost());
    drop(held);
}

/// The runtime drives the connection for reads of the parent. The child polls its tasks and drops it.
fn runtime() {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let read = || {
        let start = Instant::now();
        assert_eq!(runtime.block_on(value(1)).expect("the store works"), "value 1");
        start.elapsed()
    };
    let start = Instant::now();
    // The connection is opened after some reads.
    while readers().is_empty() {
        read();
        assert!(start.elapsed() < FIRST_CALL, "the runtime has no reader");
    }
    let before = readers();
    // The reply to this read is in the socket, and the background has woken the task that reads it.
    let mut pending: Pin<Box<dyn Future<Output = _>>> = Box::pin(value(1));
    {
        let _runtime = runtime.enter();
        let polled = pending.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
    }
    sleep(2 * TICK);
    let Some(child) = forked() else {
        runtime.block_on(async { tokio::time::sleep(2 * TICK).await });
        drop(runtime);
        exit(0);
    };
    child.join();
    assert_eq!(runtime.block_on(pending).expect("the store works"), "value 1");
    let slowest = (0..100).map(|_| read()).max().unwrap_or_default();
    assert!(slowest < SILENCE, "a reply is missing: {slowest:?}");
    assert_eq!(readers(), before, "the connection of the parent was closed");
}

/// How often the background wakes a task with a due reply.
const TICK: Duration = Duration::from_millis(100);

/// A reader that is silent for so long is closed.
const SILENCE: Duration = Duration::from_secs(1);

/// The ids of the connections for reads at the server. They alone speak RESP2.
fn readers() -> Vec<String> {
    let client = redis::Client::open(url()).expect("a good URL");
    let mut connection = client.get_connection().expect("the server accepts connections");
    let list: String = redis::cmd("CLIENT")
        .arg("LIST")
        .query(&mut connection)
        .expect("a list");
    let is_reader = |line: &&str| line.contains(" cmd=getrange ") && line.contains(" resp=2");
    let id = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    list.lines().filter(is_reader).map(id).collect()
}
