//! Readers against real servers. A test moves the ticks itself, unless it measures a time.

use crate::rt::clock::Instant;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use dspinlock_testkit::{Attack, Hostile, Redis, Target, eventually};
use redis::RedisConnectionInfo;
use tokio::runtime::{Builder, Runtime};

use super::*;
use crate::rt::blocking::wait;
use crate::store::api::Outcome;
use crate::store::credentials::Credentials;
use crate::store::redis::timeouts::Timeouts;
use crate::store::redis::url::address::{Address, Place};
#[cfg(feature = "tls")]
use crate::store::redis::url::{parts::Parts, target};

const BOUND: usize = 100_000;

fn endpoint(server: &Redis) -> Endpoint {
    background::start().expect("the background thread");
    let address = Address::tcp("localhost", server.port(), None, RedisConnectionInfo::default());
    Endpoint {
        address: address.expect("no TLS").pinned(Some(local(server.port()))),
        server: OnceLock::new(),
        timeouts: Timeouts::default(),
    }
}

fn local(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

fn readers(server: &Redis) -> Arc<Readers> {
    Arc::new(Readers::new(endpoint(server)))
}

/// The next tick, 100 ms after the last one.
fn tick(readers: &Readers) {
    let now = readers.0.now.load(Ordering::Relaxed) + 100;
    readers.tick(readers.0.created_at + Duration::from_millis(now));
}

fn one_thread() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

fn two_threads() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Reads until the current runtime has a reader.
async fn connected(readers: &Readers) {
    let start = Instant::now();
    while readers.read("none", 1).is_none() {
        assert!(start.elapsed() < dspinlock_testkit::TEST_TIMEOUT, "no reader");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn connected_sync(readers: &Readers) {
    eventually("the sync reader", || read_sync(readers, "none").map(drop));
}

async fn read(readers: &Readers, name: &str) -> Outcome {
    readers.read(name, BOUND).expect("a reader").await
}

/// As a blocking call does.
fn read_sync(readers: &Readers, name: &str) -> Option<Outcome> {
    wait(async {
        match readers.read(name, BOUND) {
            Some(reading) => Some(reading.await),
            None => None,
        }
    })
}

fn clients(server: &Redis) -> usize {
    let list: String = redis::from_redis_value(server.raw(&["CLIENT", "LIST"])).expect("text");
    list.matches("name=dspinlock:").count()
}

fn found(text: impl Into<Bytes>) -> Outcome {
    Ok(Some(text.into()))
}

fn fill(server: &Redis) -> Vec<u8> {
    let long = vec![b'x'; BOUND + 10];
    server.raw(&["SET", "short", "value"]);
    server.raw(&["SET", "empty", ""]);
    server.raw(&["LPUSH", "list", "value"]);
    server.raw(&[&b"SET"[..], b"long", &long]);
    long
}

#[test]
fn a_read_on_the_background_does_not_wait_for_a_connection_longer_than_for_a_silent_server() {
    let server = Redis::start();
    let mut endpoint = endpoint(&server);
    endpoint.timeouts.connect = Duration::from_secs(30);
    endpoint.timeouts.response = Duration::from_secs(1);
    let readers = Readers::new(endpoint);
    server.pause();
    let start = Instant::now();
    let outcome = wait(readers.read_on_background("short", BOUND));
    let elapsed = start.elapsed();
    server.resume();
    assert_eq!(outcome, Err(Duration::ZERO));
    assert!(elapsed < Duration::from_secs(1), "{elapsed:?}");
}

#[test]
fn the_first_read_on_the_background_opens_its_reader() {
    let server = Redis::start();
    fill(&server);
    let readers = readers(&server);
    let background = |name| wait(readers.read_on_background(name, BOUND)).map_err(|_| Doubt);
    let both = std::thread::scope(|threads| {
        let reads = ["short", "none"].map(|name| threads.spawn(move || background(name)));
        reads.map(|read| read.join().expect("no panic"))
    });
    assert_eq!(both, [found("value"), Ok(None)]);
    assert_eq!(clients(&server), 1);
    readers.close();
    assert_eq!(background("short"), Err(Doubt));
}

#[test]
fn a_read_on_the_background_is_a_doubt_if_its_reader_cannot_connect() {
    let mut server = Redis::start();
    let readers = readers(&server);
    server.kill();
    let start = Instant::now();
    for _ in 0..2 {
        let read = wait(readers.read_on_background("short", BOUND));
        assert_eq!(read, Err(Duration::ZERO));
    }
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[test]
fn every_kind_of_reply_arrives_and_an_error_reply_is_a_doubt() {
    let server = Redis::start();
    let long = fill(&server);
    let readers = readers(&server);
    let cases = [
        ("short", found("value")),
        ("list", Err(Doubt)),
        ("empty", Ok(None)),
        ("none", Ok(None)),
        ("long", found(long[..=BOUND].to_vec())),
        ("short", found("value")),
    ];
    one_thread().block_on(async {
        connected(&readers).await;
        for (name, expected) in &cases {
            assert_eq!(read(&readers, name).await, *expected, "{name}");
        }
    });
    connected_sync(&readers);
    for (name, expected) in &cases {
        assert_eq!(read_sync(&readers, name).as_ref(), Some(expected), "{name}");
    }
    // The runtime of the async reader has ended.
    eventually("one client", || (clients(&server) == 1).then_some(()));
}

#[test]
fn a_runtime_gets_a_reader_after_eight_reads() {
    let server = Redis::start();
    let readers = readers(&server);
    one_thread().block_on(async {
        for _ in 0..7 {
            assert!(readers.read("none", 1).is_none());
        }
        // An attempt to connect needs this thread.
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(clients(&server), 0);
        connected(&readers).await;
        assert_eq!(clients(&server), 1);
    });
}

#[test]
fn a_thousand_concurrent_reads_get_their_own_values() {
    let server = Redis::start();
    for n in 0..1000 {
        // Short values and values that need their own buffer.
        let value = vec![b'a' + (n % 26) as u8; 1 + n * n % 30_000];
        server.raw(&[&b"SET"[..], format!("k{n}").as_bytes(), &value]);
    }
    for runtime in [one_thread(), two_threads()] {
        let readers = readers(&server);
        runtime.block_on(async {
            tokio::spawn({
                let readers = readers.clone();
                async move { connected(&readers).await }
            })
            .await
            .expect("a reader");
            let tasks: Vec<_> = (0..1000_usize)
                .map(|n| {
                    let readers = readers.clone();
                    tokio::spawn(async move {
                        let expected = found(vec![b'a' + (n % 26) as u8; 1 + n * n % 30_000]);
                        for _ in 0..5 {
                            assert_eq!(read(&readers, &format!("k{n}")).await, expected);
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.expect("the right value");
            }
        });
    }
}

#[test]
fn replies_of_dropped_reads_are_skipped() {
    let server = Redis::start();
    for n in 0..100 {
        server.raw(&["SET", &format!("k{n}"), &format!("v{n}")]);
    }
    let readers = readers(&server);
    one_thread().block_on(async {
        connected(&readers).await;
        for round in 0..20 {
            let mut kept = Vec::new();
            for n in 0..100 {
                let mut reading = readers.read(&format!("k{n}"), BOUND).expect("a reader");
                if n % 3 == 0 {
                    let mut reading = pin!(&mut reading);
                    poll_fn(|context| {
                        assert!(reading.as_mut().poll(context).is_pending());
                        Poll::Ready(())
                    })
                    .await;
                }
                if (n + round) % 2 == 0 {
                    kept.push((n, reading));
                }
            }
            for (n, reading) in kept {
                assert_eq!(reading.await, found(format!("v{n}")));
            }
        }
    });
}

#[test]
fn the_bytes_of_a_doubtful_read_extend_its_limit() {
    let server = Redis::start();
    fill(&server);
    let hostile = Hostile::start(server.port());
    let readers = Readers::new(Endpoint {
        address: endpoint(&server).address.pinned(Some(local(hostile.port()))),
        ..endpoint(&server)
    });
    let runtime = one_thread();
    runtime.block_on(connected(&readers));
    connected_sync(&readers);
    // Half of the value arrives: 50,000 bytes.
    hostile.attack(Target::Reader, Attack::Stall);
    let expected = Duration::from_millis(750)..Duration::from_millis(790);
    wait(async {
        let mut reading = readers.read("long", BOUND).expect("a reader");
        assert_eq!((&mut reading).await, Err(Doubt));
        let extension = reading.extension();
        assert!(expected.contains(&extension), "{extension:?}");
    });
    runtime.block_on(async {
        let mut reading = readers.read("long", BOUND).expect("a reader");
        tokio::time::sleep(Duration::from_secs(2)).await;
        readers.close();
        assert_eq!((&mut reading).await, Err(Doubt));
        assert!(
            expected.contains(&reading.extension()),
            "{:?}",
            reading.extension()
        );
    });
}

#[test]
fn an_undriven_reader_fails_its_reads_within_300_ms() {
    let server = Redis::start();
    let readers = readers(&server);
    let ticks = background::spawn({
        let readers = readers.clone();
        async move {
            loop {
                background::sleep(Duration::from_millis(100)).await;
                readers.tick(Instant::now());
            }
        }
    });
    let runtime = one_thread();
    runtime.block_on(connected(&readers));
    let reading = {
        let _context = runtime.enter();
        readers.read("none", 1).expect("a reader")
    };
    let start = Instant::now();
    assert_eq!(wait(reading), Err(Doubt));
    let elapsed = start.elapsed();
    assert!(elapsed < Duration::from_millis(300), "{elapsed:?}");
    {
        let _context = runtime.enter();
        assert!(readers.read("none", 1).is_none());
    }
    // It is used again when its runtime runs.
    runtime.block_on(async {
        connected(&readers).await;
        assert_eq!(read(&readers, "none").await, Ok(None));
    });
    assert_eq!(clients(&server), 1);
    ticks.abort();
}

#[test]
fn an_undriven_reader_closes_after_five_seconds_and_its_runtime_gets_none_for_ten() {
    let server = Redis::start();
    let readers = readers(&server);
    let runtime = one_thread();
    runtime.block_on(connected(&readers));
    let _context = runtime.enter();
    let reading = readers.read("none", 1).expect("a reader");
    (0..50).for_each(|_| tick(&readers));
    assert_eq!((wait(reading), clients(&server)), (Err(Doubt), 1));
    tick(&readers);
    eventually("the end of the connection", || {
        (clients(&server) == 0).then_some(())
    });
    let attempt = || {
        (0..20).for_each(|_| assert!(readers.read("none", 1).is_none()));
        runtime.block_on(tokio::time::sleep(Duration::from_millis(100)));
        clients(&server)
    };
    (0..99).for_each(|_| tick(&readers));
    assert_eq!(attempt(), 0);
    tick(&readers);
    assert_eq!(attempt(), 1);
}

#[test]
fn a_late_reply_to_a_doubtful_read_reaches_no_other_read() {
    let server = Redis::start();
    server.raw(&["SET", "a", "1"]);
    server.raw(&["SET", "b", "2"]);
    let readers = readers(&server);
    let runtime = one_thread();
    runtime.block_on(connected(&readers));
    let context = runtime.enter();
    let mut reading = readers.read("none", 1).expect("a reader");
    (0..2).for_each(|_| tick(&readers));
    assert_eq!(wait(&mut reading), Err(Doubt));
    drop(context);
    // The late reply arrives while the future is alive.
    runtime.block_on(async {
        connected(&readers).await;
        assert_eq!(read(&readers, "none").await, Ok(None));
        drop(reading);
        let names = ["a", "b", "a", "b", "a", "b"];
        let readings = names.map(|name| readers.read(name, BOUND).expect("a reader"));
        for (name, reading) in names.into_iter().zip(readings) {
            assert_eq!(reading.await, found(if name == "a" { "1" } else { "2" }));
        }
    });
}

#[test]
fn a_read_fails_when_its_runtime_ends() {
    let server = Redis::start();
    let readers = readers(&server);
    let runtime = one_thread();
    runtime.block_on(connected(&readers));
    let reading = {
        let _context = runtime.enter();
        readers.read("none", 1).expect("a reader")
    };
    drop(runtime);
    assert_eq!(wait(reading), Err(Doubt));
    eventually("the end of the connection", || {
        (clients(&server) == 0).then_some(())
    });
    assert!(readers.0.queues().is_empty());
}

#[test]
fn a_silent_server_is_a_doubt_and_the_reader_closes() {
    let server = Redis::start();
    let readers = readers(&server);
    one_thread().block_on(async {
        connected(&readers).await;
        assert_eq!(read(&readers, "none").await, Ok(None));
        tick(&readers);
        server.pause();
        let mut reading = pin!(readers.read("none", 1).expect("a reader"));
        for turn in 1..=12 {
            tick(&readers);
            let is_ready = poll_fn(|context| Poll::Ready(reading.as_mut().poll(context).is_ready())).await;
            // The driver is first polled after the first tick.
            assert_eq!(is_ready, turn == 12, "{turn}");
            // The driver runs.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server.resume();
        assert!(readers.read("none", 1).is_none());
    });
}

#[test]
fn idle_readers_close_after_ten_seconds() {
    let server = Redis::start();
    let readers = readers(&server);
    let runtime = two_threads();
    runtime.block_on(connected(&readers));
    connected_sync(&readers);
    assert_eq!(clients(&server), 2);
    (0..99).for_each(|_| tick(&readers));
    assert_eq!(clients(&server), 2);
    (0..2).for_each(|_| tick(&readers));
    eventually("no client", || (clients(&server) == 0).then_some(()));
}

#[test]
fn readers_of_a_closed_group_fail_and_do_not_connect_again() {
    let server = Redis::start();
    let readers = readers(&server);
    let runtime = two_threads();
    runtime.block_on(connected(&readers));
    connected_sync(&readers);
    server.pause();
    let reading = {
        let _context = runtime.enter();
        readers.read("none", 1).expect("a reader")
    };
    let blocked = std::thread::spawn({
        let readers = readers.clone();
        move || (read_sync(&readers, "none"), Instant::now())
    });
    eventually("the blocked read", || readers.0.sync.is_busy().then_some(()));
    let closed = Instant::now();
    readers.close();
    assert_eq!(wait(reading), Err(Doubt));
    let (outcome, ended) = blocked.join().expect("no panic");
    assert_eq!(outcome, Some(Err(Doubt)));
    assert!(ended - closed < Duration::from_millis(300));
    server.resume();
    runtime.block_on(async {
        for _ in 0..50 {
            assert!(readers.read("none", 1).is_none());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    (0..20).for_each(|_| assert!(read_sync(&readers, "none").is_none()));
    eventually("no client", || (clients(&server) == 0).then_some(()));
}

#[test]
fn a_sync_reader_serves_one_caller_and_gives_a_silent_server_a_second() {
    let server = Redis::start();
    let readers = readers(&server);
    connected_sync(&readers);
    server.pause();
    let first = std::thread::spawn({
        let readers = readers.clone();
        move || {
            let start = Instant::now();
            (read_sync(&readers, "none"), start.elapsed())
        }
    });
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(read_sync(&readers, "none"), None);
    let (outcome, elapsed) = first.join().expect("no panic");
    assert_eq!(outcome, Some(Err(Doubt)));
    assert!((1.0..1.5).contains(&elapsed.as_secs_f64()), "{elapsed:?}");
    server.resume();
    connected_sync(&readers);
}

#[test]
fn a_lost_connection_is_noticed_while_it_is_idle() {
    let mut server = Redis::start();
    let readers = readers(&server);
    let runtime = one_thread();
    runtime.block_on(connected(&readers));
    connected_sync(&readers);
    server.restart();
    tick(&readers);
    assert_eq!(read_sync(&readers, "none"), None);
    runtime.block_on(async {
        // One turn of the driver.
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert!(readers.read("none", 1).is_none());
        connected(&readers).await;
    });
    connected_sync(&readers);
}

#[test]
fn a_reader_logs_in_and_selects_its_database() {
    let server = Redis::with_args(&["--requirepass", "secret"]);
    // Of the URL, and of the function that replaces it.
    for (password, credentials, works) in [
        ("wrong", None, false),
        ("secret", None, true),
        ("secret", Some("wrong"), false),
        ("wrong", Some("secret"), true),
    ] {
        let mut endpoint = endpoint(&server);
        endpoint.address.login = endpoint.address.login.set_password(password).set_db(3);
        endpoint.address.credentials =
            credentials.map(|password| Credentials::new(|| ("default".into(), password.into())));
        let readers = Readers::new(endpoint);
        one_thread().block_on(async {
            if works {
                connected(&readers).await;
                assert_eq!(read(&readers, "none").await, Ok(None));
                let list: String = redis::from_redis_value(server.raw(&["CLIENT", "LIST"])).expect("text");
                assert!(
                    list.contains("name=dspinlock:") && list.contains("db=3"),
                    "{list}"
                );
                return;
            }
            for _ in 0..100 {
                assert!(readers.read("none", 1).is_none());
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
    }
}

#[test]
fn a_reader_leads_to_the_server_of_its_group_only() {
    let server = Redis::start();
    let info: String = redis::from_redis_value(server.raw(&["INFO", "server"])).expect("text");
    let run_id = info.lines().find_map(|line| line.strip_prefix("run_id:"));
    for (id, works) in [(run_id, true), (Some("other"), false)] {
        let mut endpoint = endpoint(&server);
        endpoint.server = OnceLock::from(Server {
            run_id: id.map(Into::into),
            role: Some("master".into()),
        });
        let readers = Readers::new(endpoint);
        one_thread().block_on(async {
            if works {
                return connected(&readers).await;
            }
            for _ in 0..100 {
                assert!(readers.read("none", 1).is_none());
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
    }
}

#[cfg(unix)]
#[test]
fn a_unix_socket_works_like_tcp() {
    let server = Redis::start();
    let long = fill(&server);
    let mut endpoint = endpoint(&server);
    endpoint.address.place = Place::Unix(server.socket());
    assert_all(&Readers::new(endpoint), &long);
}

#[cfg(unix)]
#[test]
fn a_write_to_a_closed_unix_socket_raises_no_signal() {
    use tokio::signal::unix::{SignalKind, signal};

    let mut server = Redis::start();
    let mut endpoint = endpoint(&server);
    endpoint.address.place = Place::Unix(server.socket());
    let readers = Readers::new(endpoint);
    connected_sync(&readers);
    one_thread().block_on(async {
        let mut signals = signal(SignalKind::pipe()).expect("a handler");
        connected(&readers).await;
        server.kill();
        assert_eq!(readers.read("none", 1).expect("a reader").await, Err(Doubt));
        assert_eq!(read_sync(&readers, "none"), Some(Err(Doubt)));
        let signal = tokio::time::timeout(Duration::from_millis(100), signals.recv()).await;
        assert!(signal.is_err(), "SIGPIPE");
    });
}

#[cfg(feature = "tls")]
#[test]
fn tls_works_like_tcp() {
    let server = Redis::tls(dspinlock_testkit::Tls::default());
    let long = fill(&server);
    let authority = std::fs::read(server.authority()).expect("the authority");
    let tls = crate::tls::Tls::new().authorities(authority);
    let mut endpoint = endpoint(&server);
    let url = server.tls_url();
    let (_, port) = url.rsplit_once(':').expect("a port");
    let parts = Parts::parse(&url).expect("a good URL");
    let Ok(target::Target::Server(address)) = target::Target::of(&parts, tls) else {
        panic!("the URL leads to one server")
    };
    endpoint.address = address.pinned(Some(local(port.parse().expect("a port"))));
    let readers = Readers::new(endpoint);
    connected_sync(&readers);
    // Session tickets are no bytes of the server.
    (0..3).for_each(|_| tick(&readers));
    assert_all(&readers, &long);
}

/// Large values, and batches of requests.
fn assert_all(readers: &Readers, long: &[u8]) {
    let longest = found(long[..=BOUND].to_vec());
    two_threads().block_on(async {
        connected(readers).await;
        for _ in 0..20 {
            let batch: Vec<_> = (0..50)
                .map(|n| readers.read(["short", "long"][n % 2], BOUND).expect("a reader"))
                .collect();
            for (n, reading) in batch.into_iter().enumerate() {
                assert_eq!(reading.await, [&found("value"), &longest][n % 2].clone());
            }
        }
    });
    connected_sync(readers);
    for _ in 0..20 {
        assert_eq!(read_sync(readers, "long").as_ref(), Some(&longest));
        assert_eq!(read_sync(readers, "short"), Some(found("value")));
    }
}

#[test]
fn a_closed_reader_serves_no_reply() {
    let server = Redis::start();
    let readers = readers(&server);
    connected_sync(&readers);
    server.pause();
    let blocked = std::thread::spawn({
        let readers = readers.clone();
        move || read_sync(&readers, "none")
    });
    eventually("the blocked read", || readers.0.sync.is_busy().then_some(()));
    readers.close();
    server.resume();
    assert_eq!(blocked.join().expect("no panic"), Some(Err(Doubt)));
    eventually("no client", || (clients(&server) == 0).then_some(()));
}

#[test]
fn a_reader_that_was_opened_before_the_server_is_known_is_checked_again() {
    let server = Redis::start();
    let readers = readers(&server);
    let runtime = two_threads();
    runtime.block_on(connected(&readers));
    connected_sync(&readers);
    let info: String = redis::from_redis_value(server.raw(&["INFO", "server"])).expect("text");
    let run_id = info.lines().find_map(|line| line.strip_prefix("run_id:"));
    readers.identify(|| Server {
        run_id: run_id.map(Into::into),
        role: None,
    });
    assert_eq!(read_sync(&readers, "none"), None);
    runtime.block_on(async {
        assert!(readers.read("none", 1).is_none());
        connected(&readers).await;
    });
    connected_sync(&readers);
    readers.identify(|| unreachable!("the server is known"));
    assert!(read_sync(&readers, "none").is_some());
}

/// A waker that uses the reader when it is dropped, as the end of a task may.
struct Uses(Arc<Queue>);

impl std::task::Wake for Uses {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Uses {
    fn drop(&mut self) {
        drop(self.0.read("none", 1));
    }
}

#[test]
fn a_waker_that_is_dropped_may_use_the_reader() {
    let (done, is_done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let server = Redis::start();
        let readers = readers(&server);
        one_thread().block_on(async {
            connected(&readers).await;
            let (_, queue) = readers.0.queues().pop().expect("a reader");
            let mut reading = pin!(readers.read("none", 1).expect("a reader"));
            for _ in 0..3 {
                let waker = Arc::new(Uses(queue.clone())).into();
                assert!(
                    reading
                        .as_mut()
                        .poll(&mut Context::from_waker(&waker))
                        .is_pending()
                );
            }
            assert_eq!(reading.await, Ok(None));
        });
        done.send(()).expect("the test waits");
    });
    is_done
        .recv_timeout(Duration::from_secs(20))
        .expect("no deadlock");
}
