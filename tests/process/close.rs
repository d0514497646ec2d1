//! A process that closes its pool at SIGTERM holds no key when it ends.
//!
//! The programs exit from a thread that is not the main one: then the end of the process itself frees nothing.

use std::io;
use std::process::exit;
use std::thread;
use std::time::{Duration, Instant};

use dspinlock::{Acquired, Error, HashDSpinlock, Pool, Status, dspinlock};
use dspinlock_testkit::{BareClient, ChildProcess, Redis};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use crate::program as command;

const BODIES: u64 = 20;
const GRACE: Duration = Duration::from_secs(2);
const NEXT_WITHIN: Duration = Duration::from_millis(50);

/// Far longer than a test.
const LEASE: Duration = Duration::from_secs(60);

/// The longest time of a body that ends within [`GRACE`].
const SHORT: Duration = Duration::from_millis(1200);

/// How many processes are terminated at a random moment, for each store.
const ROUNDS: u64 = 15;

#[dspinlock(key = (round, id), cached_if_computed, lease = LEASE, entry = value_entry)]
async fn value(round: u64, id: u64, time: Duration) -> Result<u32, Error> {
    println!("body");
    sleep(time).await;
    Ok(std::process::id())
}

#[dspinlock(key = (round, id), cached_if_computed, lease = LEASE, entry = value_sync_entry)]
fn value_sync(round: u64, id: u64, time: Duration) -> Result<u32, Error> {
    println!("body");
    thread::sleep(time);
    Ok(std::process::id())
}

#[dspinlock(key = (round, id), fail_if_key_exists, lease = LEASE, entry = job_entry)]
async fn job(round: u64, id: u64, time: Duration) -> Result<u32, Error> {
    println!("body");
    sleep(time).await;
    Ok(std::process::id())
}

fn lock(round: u64, id: u64) -> HashDSpinlock {
    HashDSpinlock::new(("close", round, id)).lease(LEASE)
}

async fn explicit(round: u64, id: u64, time: Duration) -> Result<u32, Error> {
    if let Acquired::Locked(lease) = lock(round, id).acquire().await? {
        println!("body");
        sleep(time).await;
        lease.give_up().await?;
    }
    Ok(std::process::id())
}

/// One call. Every fourth id is of the same kind.
async fn call(round: u64, id: u64, time: Duration) -> Result<u32, Error> {
    match id % 4 {
        0 => value(round, id, time).await,
        // Not a task that blocks, because its runtime would wait for it.
        1 => {
            let (send, done) = tokio::sync::oneshot::channel();
            thread::spawn(move || send.send(value_sync(round, id, time)));
            done.await.expect("the thread sends its outcome")
        }
        2 => job(round, id, time).await,
        _ => explicit(round, id, time).await,
    }
}

fn status(pool: &Pool, round: u64, id: u64) -> Status {
    let time = Duration::ZERO;
    let status = match id % 4 {
        0 => value_entry(round, id, time).pool(pool).status_blocking(),
        1 => value_sync_entry(round, id, time).pool(pool).status_blocking(),
        2 => job_entry(round, id, time).pool(pool).status_blocking(),
        _ => lock(round, id).pool(pool).status_blocking(),
    };
    status.expect("the store replies")
}

/// The servers and the file, with their URLs.
struct Stores {
    _redis: Redis,
    #[cfg(feature = "cluster")]
    _cluster: dspinlock_testkit::Cluster,
    _folder: tempfile::TempDir,
    urls: Vec<String>,
}

impl Stores {
    fn start() -> Self {
        let (redis, folder) = (Redis::start(), tempfile::tempdir().expect("a temporary folder"));
        #[cfg(feature = "cluster")]
        let cluster = dspinlock_testkit::Cluster::start();
        Self {
            urls: vec![
                redis.url(),
                #[cfg(feature = "cluster")]
                cluster.url(),
                format!("sqlite:{}/locks.db", folder.path().display()),
            ],
            _redis: redis,
            #[cfg(feature = "cluster")]
            _cluster: cluster,
            _folder: folder,
        }
    }
}

fn name(url: &str) -> &str {
    url.split(':').next().unwrap_or_default()
}

/// Ten bodies end within the grace and publish. The locks of the other ten are given up.
pub(crate) fn a_terminated_process_frees_or_publishes_each_key() {
    let (stores, bare) = (Stores::start(), BareClient::start());
    for (round, url) in (0..).zip(stores.urls.iter().cycle().take(2 * stores.urls.len())) {
        let pool = Pool::open(url).expect("the store opens");
        let next = ChildProcess::start(&mut command("close next", url));
        // The first call of the process opens its pool.
        next.request("warm 0 0");
        let mut ending = ChildProcess::start(&mut command(&format!("close run {round}"), url));
        (0..BODIES).for_each(|_| assert_eq!(ending.recv(), "body"));
        let begun = Instant::now();
        ending.terminate();
        let given_up = ending.recv();
        assert!(ending.wait().success());
        let ended = Instant::now();
        let took = ended - begun;
        let is_published = |id| id < BODIES / 2 && id % 4 != 3;
        for id in 0..BODIES {
            match status(&pool, round, id) {
                Status::Computed { .. } if is_published(id) => {}
                Status::Free if !is_published(id) => {}
                status => panic!("{}: {id} is {status:?}", name(url)),
            }
        }
        assert_eq!(given_up, format!("given up {}", BODIES / 2));
        let mut slowest = Duration::ZERO;
        for id in 0..BODIES {
            next.send(&format!("next {round} {id}"));
            let mut reply = next.recv();
            if reply == "body" {
                reply = next.recv();
            }
            let (micros, process) = reply.split_once(' ').expect("a time and an outcome");
            slowest = slowest.max(Duration::from_micros(micros.parse().expect("a time")));
            let expected = match (id % 4, is_published(id)) {
                (0 | 1, true) => ending.id().to_string(),
                (_, true) => "exists".into(),
                (_, false) => next.id().to_string(),
            };
            assert_eq!(process, expected, "{}: the next holder of {id}", name(url));
        }
        let delay = bare.delay();
        println!(
            "{}: SIGTERM to the end {took:.1?}, the slowest next holder {slowest:.1?}, the machine may delay it by {delay:.1?}",
            name(url)
        );
        assert!(took >= GRACE && took < 2 * GRACE, "{took:?}");
        assert!(slowest <= NEXT_WITHIN + delay, "{}: {slowest:?}", name(url));
    }
}

/// Forty calls for twenty keys begin while the process is terminated.
pub(crate) fn a_process_that_is_terminated_at_any_moment_holds_no_key() {
    let stores = Stores::start();
    for url in &stores.urls {
        let pool = Pool::open(url).expect("the store opens");
        let mut held = 0;
        for round in 0..ROUNDS {
            let mut ending = ChildProcess::start(&mut command(&format!("close calls {round}"), url));
            assert_eq!(ending.recv(), "ready");
            thread::sleep(Duration::from_millis(fastrand::u64(0..250)));
            held += (0..BODIES)
                .filter(|id| matches!(status(&pool, round, *id), Status::Held { .. }))
                .count();
            ending.terminate();
            assert!(ending.wait().success());
            for id in 0..BODIES {
                let status = status(&pool, round, id);
                assert!(
                    !matches!(status, Status::Held { .. }),
                    "{}: {id} is {status:?}",
                    name(url)
                );
            }
        }
        println!(
            "{}: {held} keys were held when {ROUNDS} processes were terminated",
            name(url)
        );
        assert!(held > 0, "no process was terminated with a lock");
    }
}

/// Runs in a separate process.
pub(crate) fn program(words: &[&str]) {
    match words {
        ["next"] => next(),
        ["run", round] => terminated(GRACE, bodies(number(round))),
        ["calls", round] => terminated(GRACE / 20, calls(number(round))),
        other => panic!("no program {other:?}"),
    }
}

fn number(text: &str) -> u64 {
    text.parse().expect("a number")
}

/// Twenty bodies, of which ten end within the grace.
async fn bodies(round: u64) {
    for id in 0..BODIES {
        let time = match id < BODIES / 2 {
            true => SHORT.mul_f64(fastrand::f64()),
            false => LEASE,
        };
        tokio::spawn(call(round, id, time));
    }
}

/// Calls that begin in the next 200 ms, two for each key.
async fn calls(round: u64) {
    println!("ready");
    for id in (0..BODIES).chain(0..BODIES) {
        let [pause, time] = [fastrand::u64(0..200), fastrand::u64(0..400)].map(Duration::from_millis);
        tokio::spawn(async move {
            sleep(pause).await;
            call(round, id, time).await
        });
    }
}

/// Begins `work`, waits for SIGTERM, closes the pool, and ends the process.
fn terminated(grace: Duration, work: impl Future<Output = ()> + Send + 'static) {
    let ending = thread::spawn(move || {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let mut sigterm = signal(SignalKind::terminate()).expect("a handler");
            let pool = Pool::global().await.expect("the store opens");
            work.await;
            sigterm.recv().await;
            let given_up = pool.close(grace).await.expect("the end of the pool");
            println!("given up {}", given_up.len());
            exit(0)
        })
    });
    ending.join().expect("the process ends before")
}

/// Prints how long a call takes, and the process that has computed its value.
fn next() {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    for line in io::stdin().lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split(' ').collect();
        let (round, id) = (number(words[1]), number(words[2]));
        if words[0] == "warm" {
            lock(u64::MAX, 0).status_blocking().expect("a reply");
            println!("warm");
            continue;
        }
        let start = Instant::now();
        let outcome = match runtime.block_on(call(round, id, Duration::ZERO)) {
            Ok(process) => process.to_string(),
            Err(Error::FailIfKeyExistsIsEnabled { .. }) => "exists".into(),
            Err(error) => format!("{error}"),
        };
        println!("{} {outcome}", start.elapsed().as_micros());
    }
}
