//! A server that is away while many callers call all the time.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use dspinlock::{HashDSpinlock, Pool, Wait};
use dspinlock_testkit::{Proxy, Redis};
use tokio::runtime::Builder;

use crate::common::logs;

const CALLERS: usize = 50;

const AWAY: Duration = Duration::from_secs(3);

/// Callers call all the time; the pause leaves the machine to the other tests.
const PAUSE: Duration = Duration::from_millis(5);

const MAX_ATTEMPTS: usize = 30;

const MAX_LINES: usize = 3;

const SERVED_WITHIN: Duration = Duration::from_millis(500);

/// Half of the callers are tasks, the others are threads.
#[test]
fn a_server_that_is_away_costs_few_connection_attempts_and_log_lines() {
    logs::capture();
    let mut server = Redis::start();
    let proxy = Proxy::start(server.port());
    let pool = Pool::open(&proxy.url()).unwrap();
    let (is_back, ready) = (AtomicBool::new(false), Barrier::new(CALLERS + 1));
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    scope(|threads| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|at| {
                let lock = HashDSpinlock::new(("outage", at))
                    .wait(Wait::AtMost(Duration::ZERO))
                    .pool(&pool);
                let (is_back, ready, runtime) = (&is_back, &ready, &runtime);
                threads.spawn(move || {
                    served(&lock, runtime, at % 2 == 0).expect("the server is up");
                    ready.wait();
                    loop {
                        let was_back = is_back.load(Ordering::SeqCst);
                        if served(&lock, runtime, at % 2 == 0).is_ok() && was_back {
                            return Instant::now();
                        }
                        sleep(PAUSE);
                    }
                })
            })
            .collect();
        ready.wait();
        let (attempts, lines) = (proxy.attempts(), lines_of(&proxy));
        server.kill();
        sleep(AWAY);
        let attempts = proxy.attempts() - attempts;
        server.restart();
        let back = Instant::now();
        is_back.store(true, Ordering::SeqCst);
        let served = callers
            .into_iter()
            .map(|caller| caller.join().expect("no caller panicked"));
        let last = served.max().expect("there are callers") - back;
        let lines = lines_of(&proxy).split_off(lines.len());
        println!(
            "{attempts} attempts, {} lines, served after {last:.1?}",
            lines.len()
        );
        assert!(attempts <= MAX_ATTEMPTS, "{attempts} attempts to connect");
        assert!(
            lines.len() <= MAX_LINES,
            "{} lines: {:#?}",
            lines.len(),
            &lines[..10.min(lines.len())]
        );
        assert!(last <= SERVED_WITHIN, "the last caller was served after {last:?}");
    });
}

fn served(lock: &HashDSpinlock, runtime: &tokio::runtime::Runtime, is_async: bool) -> Result<(), ()> {
    let acquired = match is_async {
        true => runtime
            .block_on(runtime.spawn(lock.acquire()))
            .expect("the task does not panic"),
        false => lock.acquire_blocking(),
    };
    // The drop aborts the lock.
    acquired.map(drop).map_err(drop)
}

/// The lines that name the proxy's address.
fn lines_of(proxy: &Proxy) -> Vec<String> {
    let port = format!(":{}", proxy.port());
    let mut lines = logs::lines();
    lines.retain(|line| line.contains(&port));
    lines
}
