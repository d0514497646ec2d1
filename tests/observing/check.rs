//! `Pool::check`.

use std::time::{Duration, Instant};

use dspinlock::{Error, Pool, Role};
use dspinlock_testkit::{Cluster, Redis};

use crate::stores::Backend;

#[tokio::test]
async fn every_store_tells_its_state() {
    for backend in Backend::all() {
        let pool = backend.pool("check");
        for health in [
            pool.check().await.expect("a reply"),
            pool.check_blocking().expect("a reply"),
        ] {
            assert!(health.round_trip > Duration::ZERO && health.round_trip < Duration::from_secs(5));
            let is_server = !backend.is_embedded();
            assert_eq!(health.pushes, is_server, "{backend:?}");
            assert_eq!(health.role, is_server.then_some(Role::Master), "{backend:?}");
            let version = health.version.unwrap_or_default();
            assert_eq!(
                is_server,
                version.starts_with("Redis ") || version.starts_with("Valkey "),
                "{version}"
            );
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let pool = Pool::open(&format!("sqlite:{}/locks.db", folder.path().display())).expect("a pool");
    let version = pool.check().await.expect("a reply").version.expect("a version");
    assert!(version.starts_with("SQLite 3."), "{version}");
}

#[test]
fn a_server_without_pushes_and_a_user_without_info() {
    let server = Redis::start();
    let pool = Pool::open(&format!("{}?protocol=2", server.url())).expect("a pool");
    let health = pool.check_blocking().expect("a reply");
    assert!(!health.pushes && health.role == Some(Role::Master), "{health:?}");
    server.raw(&[
        "ACL", "SETUSER", "limited", "on", ">pw", "~*", "&*", "+@all", "-info",
    ]);
    let url = server.url().replace("redis://", "redis://limited:pw@");
    let health = Pool::open(&url)
        .expect("a pool")
        .check_blocking()
        .expect("a reply");
    assert!(
        health.role.is_none() && health.version.is_none() && health.pushes,
        "{health:?}"
    );
}

#[test]
fn a_replica_is_one() {
    let (master, replica) = (Redis::start(), Redis::start());
    let port = master.port().to_string();
    replica.raw(&["REPLICAOF", "127.0.0.1", &port]);
    let pool = Pool::open(&replica.url()).expect("a pool");
    assert_eq!(pool.check_blocking().expect("a reply").role, Some(Role::Replica));
}

#[test]
fn a_server_that_is_away_or_silent_is_an_error_in_time() {
    let away = Pool::open("redis://127.0.0.1:1").expect("a pool");
    let error = away.check_blocking().expect_err("no server");
    assert!(matches!(error, Error::RedisNotInitialized { .. }), "{error}");
    let server = Redis::start();
    let builder = Pool::builder(&server.url()).request_timeout(Duration::from_millis(700));
    let pool = builder.open().expect("a pool");
    pool.check_blocking().expect("a reply");
    server.pause();
    let start = Instant::now();
    let outcome = pool.check_blocking();
    server.resume();
    assert!(
        outcome.is_err() && start.elapsed() < Duration::from_secs(4),
        "{outcome:?} after {:?}",
        start.elapsed()
    );
}

#[test]
fn a_cluster_with_a_silent_master_is_not_healthy() {
    let cluster = Cluster::start();
    let pool = Pool::builder(&cluster.url())
        .request_timeout(Duration::from_secs(1))
        .open()
        .expect("a pool");
    pool.check_blocking().expect("a reply");
    for server in cluster.servers() {
        let role = redis::from_redis_value::<Vec<redis::Value>>(server.raw(&["ROLE"])).expect("a list");
        if role.first() != Some(&redis::Value::BulkString(b"master".to_vec())) {
            continue;
        }
        server.pause();
        let outcome = pool.check_blocking();
        server.resume();
        assert!(outcome.is_err(), "{outcome:?}");
        return;
    }
    panic!("the cluster has no master");
}
