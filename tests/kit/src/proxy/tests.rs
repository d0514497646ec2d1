use super::*;
use std::thread;

use crate::Redis;

#[test]
fn a_pipeline_is_one_round_trip() {
    let server = Redis::start();
    let proxy = Proxy::start(server.port());
    let client = redis::Client::open(proxy.url()).unwrap();
    let mut connection = client.get_connection().unwrap();
    proxy.clear_round_trips();
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
    assert_eq!(proxy.round_trips(), [vec!["SET", "GET"], vec!["GET"]]);
    assert_eq!(proxy.connections(), 1);
}

#[test]
fn a_stalled_reply_arrives_after_resume_and_a_closed_connection_fails() {
    let server = Redis::start();
    let proxy = Proxy::start(server.port());
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
    proxy.disconnect();
    assert!(redis::cmd("PING").query::<redis::Value>(&mut connection).is_err());
}

/// A script that the proxy recognizes as ABORT.
const ABORT: &str = "redis.call('INCR', 'a') return {'ABORTED', {'nested', 1}}";

#[test]
fn a_step_is_recognized_by_its_hash_and_executed_if_its_reply_is_lost() {
    let server = Redis::start();
    let proxy = Proxy::start(server.port());
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
    proxy.intercept("ABORT", Stage::Reply, Action::Disconnect);
    assert!(step.query::<redis::Value>(&mut connection).is_err());
    proxy.wait_matched();
    assert_eq!(
        (server.get("a").as_deref(), proxy.requests("ABORT")),
        (Some("2"), 2)
    );
    proxy.intercept("ABORT", Stage::Request, Action::Disconnect);
    let mut connection = client.get_connection().unwrap();
    assert!(step.query::<redis::Value>(&mut connection).is_err());
    assert_eq!(
        (server.get("a").as_deref(), proxy.requests("ABORT")),
        (Some("2"), 3)
    );
}

#[test]
fn a_held_step_holds_only_its_connection() {
    let server = Redis::start();
    let proxy = Proxy::start(server.port());
    let client = redis::Client::open(proxy.url()).unwrap();
    let (mut held, mut free) = (client.get_connection().unwrap(), client.get_connection().unwrap());
    proxy.intercept("SET", Stage::Request, Action::Hold);
    let setting = thread::spawn(move || redis::cmd("SET").arg("a").arg("1").query::<String>(&mut held));
    proxy.wait_matched();
    let _: redis::Value = redis::cmd("PING").query(&mut free).unwrap();
    assert_eq!(server.get("a"), None);
    proxy.resume();
    assert_eq!(setting.join().unwrap().unwrap(), "OK");
}

#[test]
fn a_reset_connection_fails_and_a_half_open_one_times_out() {
    let server = Redis::start();
    let proxy = Proxy::start(server.port());
    let client = redis::Client::open(proxy.url()).unwrap();
    let mut connection = client.get_connection().unwrap();
    proxy.reset();
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
fn latency_does_not_add_up_in_a_pipeline() {
    let server = Redis::start();
    let proxy = Proxy::start(server.port());
    let client = redis::Client::open(proxy.url()).unwrap();
    let mut connection = client.get_connection().unwrap();
    proxy.set_latency(Duration::from_millis(200), Duration::from_millis(20));
    let start = std::time::Instant::now();
    let mut pipeline = redis::pipe();
    for _ in 0..50 {
        pipeline.cmd("PING").ignore();
    }
    let _: redis::Value = pipeline.query(&mut connection).unwrap();
    let elapsed = start.elapsed();
    assert!(
        elapsed >= Duration::from_millis(200) && elapsed < Duration::from_millis(1500),
        "{elapsed:?}"
    );
}
