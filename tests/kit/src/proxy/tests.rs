use super::*;
use std::thread;

use crate::Redis;

#[test]
fn a_pipeline_is_one_trip_and_two_commands_are_two() {
    let server = Redis::start();
    let proxy = Proxy::before(server.port());
    let client = redis::Client::open(proxy.url()).unwrap();
    let mut connection = client.get_connection().unwrap();
    proxy.reset();
    let mut pipeline = redis::pipe();
    pipeline
        .cmd("SET")
        .arg("a")
        .arg("x\r\n*1\r\n")
        .cmd("GET")
        .arg("a");
    let _: redis::Value = pipeline.query(&mut connection).unwrap();
    let _: redis::Value = redis::cmd("PING").query(&mut connection).unwrap();
    let _: redis::Value = redis::cmd("get").arg("a").query(&mut connection).unwrap();
    assert_eq!(proxy.trips(), [vec!["SET", "GET"], vec!["GET"]]);
    assert_eq!(proxy.connections(), 1);
}

#[test]
fn a_stalled_reply_comes_later_and_a_cut_connection_ends() {
    let server = Redis::start();
    let proxy = Proxy::before(server.port());
    let mut connection = redis::Client::open(proxy.url())
        .unwrap()
        .get_connection()
        .unwrap();
    proxy.stall_replies();
    let later = thread::spawn(move || {
        let reply: redis::RedisResult<String> = redis::cmd("SET").arg("a").arg("1").query(&mut connection);
        (reply, connection)
    });
    crate::eventually("the command to arrive", || server.get("a"));
    assert!(!later.is_finished());
    proxy.resume();
    let (reply, mut connection) = later.join().unwrap();
    assert_eq!(reply.unwrap(), "OK");
    proxy.cut();
    assert!(redis::cmd("PING").query::<redis::Value>(&mut connection).is_err());
}

/// Runs a script that says what the library's ABORT says.
const ABORT: &str = "redis.call('INCR', 'a') return {'ABORTED', {'nested', 1}}";

#[test]
fn a_step_is_known_by_its_hash_and_its_reply_is_lost_when_it_is_done() {
    let server = Redis::start();
    let proxy = Proxy::before(server.port());
    let client = redis::Client::open(proxy.url()).unwrap();
    let mut connection = client.get_connection().unwrap();
    let hash: String = redis::cmd("SCRIPT")
        .arg("LOAD")
        .arg(ABORT)
        .query(&mut connection)
        .unwrap();
    let mut step = redis::cmd("EVALSHA");
    step.arg(hash).arg(0);
    let _: redis::Value = step.query(&mut connection).unwrap();
    proxy.on("ABORT", At::Reply, Fate::Cut);
    assert!(step.query::<redis::Value>(&mut connection).is_err());
    proxy.met();
    assert_eq!((server.get("a").as_deref(), proxy.asked("ABORT")), (Some("2"), 2));
    proxy.on("ABORT", At::Request, Fate::Cut);
    let mut connection = client.get_connection().unwrap();
    assert!(step.query::<redis::Value>(&mut connection).is_err());
    assert_eq!((server.get("a").as_deref(), proxy.asked("ABORT")), (Some("2"), 3));
}

#[test]
fn a_held_step_holds_its_connection_and_no_other() {
    let server = Redis::start();
    let proxy = Proxy::before(server.port());
    let client = redis::Client::open(proxy.url()).unwrap();
    let (mut held, mut free) = (client.get_connection().unwrap(), client.get_connection().unwrap());
    proxy.on("SET", At::Request, Fate::Hold);
    let setting = thread::spawn(move || redis::cmd("SET").arg("a").arg("1").query::<String>(&mut held));
    proxy.met();
    let _: redis::Value = redis::cmd("PING").query(&mut free).unwrap();
    assert_eq!(server.get("a"), None);
    proxy.resume();
    assert_eq!(setting.join().unwrap().unwrap(), "OK");
}

#[test]
fn connections_that_end_in_other_ways() {
    let server = Redis::start();
    let proxy = Proxy::before(server.port());
    let client = redis::Client::open(proxy.url()).unwrap();
    let mut connection = client.get_connection().unwrap();
    proxy.break_off();
    let error = redis::cmd("PING")
        .query::<redis::Value>(&mut connection)
        .unwrap_err();
    assert!(error.is_connection_dropped(), "{error}");
    let mut connection = client.get_connection().unwrap();
    connection
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    proxy.half_open();
    let error = redis::cmd("PING")
        .query::<redis::Value>(&mut connection)
        .unwrap_err();
    assert!(error.is_timeout(), "{error}");
    assert!(client.get_connection().is_ok());
}

#[test]
fn latency_does_not_add_up() {
    let server = Redis::start();
    let proxy = Proxy::before(server.port());
    let client = redis::Client::open(proxy.url()).unwrap();
    let mut connection = client.get_connection().unwrap();
    proxy.latency(Duration::from_millis(200), Duration::from_millis(20));
    let start = std::time::Instant::now();
    let mut pipeline = redis::pipe();
    for _ in 0..50 {
        pipeline.cmd("PING").ignore();
    }
    let _: redis::Value = pipeline.query(&mut connection).unwrap();
    let took = start.elapsed();
    assert!(
        took >= Duration::from_millis(200) && took < Duration::from_millis(1500),
        "{took:?}"
    );
}
