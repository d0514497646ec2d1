//! A process that ends with a call or a lease in hand frees the key at once.

use std::io;
use std::mem::forget;
use std::process::{Command, exit};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use dspinlock::{Acquired, Error, HashDSpinlock, Lease, Pool, Wait, dspinlock};
use dspinlock_testkit::{Action, BareClient, ChildProcess, Proxy, Redis, Stage};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::program as command;

const FREED_WITHIN: Duration = Duration::from_millis(50);

/// Far longer than a test.
const LEASE: Duration = Duration::from_secs(60);

/// Long enough for a call to acquire its lock.
const CALL_TIME: Duration = Duration::from_millis(300);

const ENDS: &[&str] = &[
    "timeout",
    "timeout_multi",
    "aborted_task",
    "runtime",
    "runtime_multi",
    "background_runtime",
    "return",
    "static",
    "exit",
    "exit_with_thread",
    "exit_in_body",
    "exit_with_waiter",
    "panic",
];

pub(crate) fn a_process_that_ends_frees_its_keys() {
    let (server, folder) = (Redis::start(), tempfile::tempdir().expect("a temporary folder"));
    let bare = BareClient::start();
    for url in [
        server.url(),
        format!("sqlite:{}/locks.db", folder.path().display()),
    ] {
        let probe = ChildProcess::start(&mut command("probe", &url));
        // The first call of the probe opens its pool.
        probe.request("warm");
        for _ in 0..2 {
            for end in ENDS {
                let mut ending: Command = command(end, &url);
                let status = ending.status().expect("the program starts");
                let code = if *end == "panic" { 101 } else { 0 };
                assert_eq!(status.code(), Some(code), "{end} on {url}");
                let micros: u64 = probe.request(end).parse().expect("a time");
                let time = Duration::from_micros(micros);
                let delay = bare.delay();
                println!(
                    "{end} on {}: free after {time:.1?}, the machine may delay it by {delay:.1?}",
                    url.split(':').next().unwrap_or_default()
                );
                assert!(time <= FREED_WITHIN + delay, "{end} on {url}: {time:?}");
            }
        }
    }
}

/// How a process ends whose ACQUIRE is granted at that moment, and whether its call waits for another holder before.
const GRANTED: [(&str, bool); 5] = [
    ("thread_granted", true),
    ("drop_granted", true),
    ("runtime_granted", true),
    ("exit_granted", true),
    ("exit_granted", false),
];

/// The server has executed the ACQUIRE, and the proxy holds its reply until the process has ended.
pub(crate) fn a_process_that_ends_while_its_call_is_granted_frees_the_key() {
    let (server, bare) = (Redis::start(), BareClient::start());
    let pool = Pool::open(&server.url()).expect("the store opens");
    for (end, waits) in GRANTED {
        let proxy = Proxy::start(server.port());
        let held = waits.then(|| locked(&lock(GRANTED_KEY).pool(&pool)));
        let mut ending = ChildProcess::start(&mut command(end, &proxy.url()));
        assert_eq!(ending.recv(), "ready");
        if !waits {
            proxy.intercept("ACQUIRE", Stage::Reply, Action::Hold);
        }
        ending.send("call");
        if waits {
            assert_eq!(ending.recv(), "waits");
            proxy.intercept("ACQUIRE", Stage::Reply, Action::Hold);
        }
        drop(held);
        proxy.wait_matched();
        ending.send("end");
        assert!(ending.wait().success(), "{end}");
        let ended = Instant::now();
        let lease = HashDSpinlock::new(GRANTED_KEY)
            .wait(Wait::AtMost(LEASE / 2))
            .pool(&pool);
        drop(locked(&lease));
        let (time, delay) = (ended.elapsed(), bare.delay());
        println!("{end}, waits: {waits}: free after {time:.1?}, the machine may delay it by {delay:.1?}");
        assert!(time <= FREED_WITHIN + delay, "{end}: {time:?}");
    }
}

/// The end of the process waits for the reply to its ABORT. Its waiting call finds the key free in that time.
pub(crate) fn a_process_that_ends_acquires_no_lock() {
    let (server, bare) = (Redis::start(), BareClient::start());
    let pool = Pool::open(&server.url()).expect("the store opens");
    let proxy = Proxy::start(server.port());
    let held = locked(&lock(GRANTED_KEY).pool(&pool));
    let mut ending = ChildProcess::start(&mut command("exit_waiting", &proxy.url()));
    assert_eq!(ending.recv(), "waits");
    proxy.intercept("ABORT", Stage::Reply, Action::Hold);
    ending.send("end");
    proxy.wait_matched();
    drop(held);
    assert!(ending.wait().success());
    let ended = Instant::now();
    let next = lock(GRANTED_KEY).wait(Wait::AtMost(LEASE / 2)).pool(&pool);
    drop(locked(&next));
    let (time, delay) = (ended.elapsed(), bare.delay());
    println!("free after {time:.1?}, the machine may delay it by {delay:.1?}");
    assert!(time <= FREED_WITHIN + delay, "{time:?}");
}

/// Ends while it holds another key, and while a call looks for the key again and again.
fn exit_waiting() {
    let _held = lease("another key");
    let runtime = multi();
    runtime.spawn(async {
        let lock = HashDSpinlock::new(GRANTED_KEY).lease(LEASE).wait(Wait::Forever);
        drop(
            lock.spinlock_sleep_thresh(Duration::from_millis(10))
                .acquire()
                .await,
        );
    });
    thread::sleep(CALL_TIME);
    println!("waits");
    read_line();
    exit(0);
}

const GRANTED_KEY: &str = "granted";

/// The call of [`GRANTED`], on this runtime.
async fn call_granted() {
    let lock = HashDSpinlock::new(GRANTED_KEY).lease(LEASE).wait(Wait::Forever);
    drop(lock.acquire().await);
}

/// The next line of the test.
fn read_line() {
    let mut line = String::new();
    io::stdin().read_line(&mut line).expect("the test sends a line");
}

fn granted(end: &str) {
    // The main thread uses the pool, and the scripts are loaded.
    drop(lease("another key"));
    println!("ready");
    read_line();
    let mut runtime = multi();
    let mut call = Box::pin(call_granted());
    if end == "drop_granted" {
        runtime = self::runtime();
        assert!(
            runtime
                .block_on(async { timeout(CALL_TIME, &mut call).await })
                .is_err()
        );
    } else {
        runtime.spawn(std::mem::replace(&mut call, Box::pin(call_granted())));
        thread::sleep(CALL_TIME);
    }
    println!("waits");
    read_line();
    if end == "exit_granted" {
        exit(0);
    }
    drop((call, runtime));
}

#[dspinlock(key = key, lease = LEASE, wait = "0s")]
async fn slow(key: &str, time: Duration) -> Result<(), Error> {
    tokio::time::sleep(time).await;
    Ok(())
}

#[dspinlock(key = key, lease = LEASE, wait = "0s")]
fn slow_sync(key: &str, body: Box<dyn FnOnce()>) -> Result<(), Error> {
    body();
    Ok(())
}

fn lease(key: &str) -> Lease {
    locked(&lock(key))
}

fn locked(lock: &HashDSpinlock) -> Lease {
    match lock.acquire_blocking() {
        Ok(Acquired::Locked(lease)) => lease,
        other => panic!("{other:?}"),
    }
}

fn lock(key: &str) -> HashDSpinlock {
    HashDSpinlock::new(key)
        .lease(LEASE)
        .wait(Wait::AtMost(Duration::ZERO))
}

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

fn multi() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Runs on the main thread of the program. Each end has its own key.
pub(crate) fn program(words: &[&str]) {
    let end = words[0].to_owned();
    let key = end.clone();
    match end.as_str() {
        "probe" => probe(),
        "drop_granted" | "runtime_granted" | "exit_granted" => granted(&end),
        "exit_waiting" => exit_waiting(),
        // The main thread has no guard, because it does not use the pool.
        "thread_granted" => thread::spawn(|| granted("drop_granted"))
            .join()
            .expect("the thread does not panic"),
        "timeout" => {
            let call = async { timeout(CALL_TIME, slow(&key, LEASE)).await };
            assert!(runtime().block_on(call).is_err());
        }
        "timeout_multi" => {
            let call = async { timeout(CALL_TIME, slow(&key, LEASE)).await };
            assert!(multi().block_on(call).is_err());
        }
        "aborted_task" => {
            let runtime = multi();
            let task = runtime.spawn(async move { slow(&key, LEASE).await });
            thread::sleep(CALL_TIME);
            task.abort();
            assert!(runtime.block_on(task).is_err());
        }
        "runtime" => runtime().block_on(async {
            tokio::spawn(async move { slow(&key, LEASE).await });
            tokio::time::sleep(CALL_TIME).await;
        }),
        "runtime_multi" => multi().block_on(async {
            tokio::spawn(async move { slow(&key, LEASE).await });
            tokio::time::sleep(CALL_TIME).await;
        }),
        "background_runtime" => {
            let runtime = multi();
            // The main thread uses the pool too, so it has a guard.
            drop(lease("another key"));
            runtime.spawn(async move { slow(&key, LEASE).await });
            thread::sleep(CALL_TIME);
            runtime.shutdown_background();
        }
        "return" => {
            let _lease = lease(&key);
        }
        "static" => {
            static LEASED: OnceLock<Lease> = OnceLock::new();
            LEASED.get_or_init(|| lease(&key));
        }
        "exit" => {
            let lease = lease(&key);
            forget(lease);
            exit(0);
        }
        // Another call of the process waits for the key.
        "exit_with_waiter" => {
            forget(lease(&key));
            thread::spawn(move || drop(locked(&lock(&key).wait(Wait::Forever))));
            thread::sleep(CALL_TIME);
            exit(0);
        }
        "exit_with_thread" => {
            drop(lease("another key"));
            thread::spawn(move || slow_sync(&key, Box::new(|| thread::sleep(LEASE))));
            thread::sleep(CALL_TIME);
            exit(0);
        }
        "exit_in_body" => {
            let _ = slow_sync(&key, Box::new(|| exit(0)));
        }
        "panic" => {
            let _ = slow_sync(&key, Box::new(|| panic!("requested")));
        }
        other => panic!("no program {other}"),
    }
}

/// Prints how long it takes until the key of an end is free.
fn probe() {
    let runtime = runtime();
    for end in io::stdin().lines().map_while(Result::ok) {
        let start = Instant::now();
        let is_free = || match end.as_str() {
            "return" | "static" | "exit" | "exit_with_waiter" => lock(&end).acquire_blocking().is_ok(),
            "exit_with_thread" | "exit_in_body" | "panic" => slow_sync(&end, Box::new(|| {})).is_ok(),
            _ => runtime.block_on(slow(&end, Duration::ZERO)).is_ok(),
        };
        while !is_free() && start.elapsed() < Duration::from_secs(2) {
            thread::sleep(Duration::from_millis(1));
        }
        println!("{}", start.elapsed().as_micros());
    }
}
