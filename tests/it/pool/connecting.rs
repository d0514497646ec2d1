//! Servers that cannot be used: an error in time, without a private word in it.

use std::net::TcpListener;

use dspinlock::{Error, HashDSpinlock, Pool};
use dspinlock_testkit::{Redis, eventually};

use crate::common::lock::{lock, locked};
use crate::common::logs::{self, assert_error};
use crate::common::store::first_error;

#[test]
fn a_port_without_a_server_is_refused() {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    assert_error(
        &first_error(&format!("redis://user:secret@127.0.0.1:{port}")),
        "RedisNotInitialized",
    );
    assert_error(
        &first_error("redis+unix:///no/such/socket"),
        "RedisNotInitialized",
    );
    assert_error(
        &first_error("redis://no-such-host.invalid"),
        "RedisNotInitialized",
    );
}

#[test]
fn a_server_that_never_replies_is_refused() {
    // The kernel accepts the connection and no process reads from it.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    assert_error(
        &first_error(&format!("redis://:secret@127.0.0.1:{port}")),
        "RedisNotInitialized",
    );
}

#[test]
fn a_wrong_or_missing_password_is_refused() {
    let server = Redis::with_args(&["--requirepass", "right"]);
    for url in [
        server.url(),
        server.url_for("", "secret"),
        server.url_for("secret", "secret"),
    ] {
        assert_error(&first_error(&url), "RedisNotInitialized");
    }
    assert!(server.keys().is_empty());
    let pool = Pool::open(&server.url_for("", "right")).unwrap();
    assert!(HashDSpinlock::new("a").pool(&pool).acquire_blocking().is_ok());
}

#[test]
fn a_user_without_permissions_is_refused() {
    let server = Redis::start();
    for (user, rules) in [
        ("nothing", &["-@all", "~*"][..]),
        ("other_keys", &["+@all", "~other:*"]),
        ("reader", &["+@read", "+@connection", "~*"]),
    ] {
        let mut command = vec!["ACL", "SETUSER", user, "on", ">secret"];
        command.extend(rules);
        server.raw(&command);
        let error = first_error(&server.url_for(user, "secret"));
        println!("{user}: {error}");
        let permission = matches!(
            &error,
            Error::Store {
                reason: dspinlock::StoreFailure::PermissionDenied(_),
                ..
            } | Error::RedisNotInitialized { .. }
        );
        assert!(permission && !logs::leaks(Some(&error)), "{user}: {error:?}");
    }
    assert!(server.keys().is_empty());
}

#[test]
fn a_pool_reconnects_to_a_restarted_server() {
    let mut server = Redis::start();
    let pool = Pool::open(&server.url()).unwrap();
    let lease = locked(lock(&pool).acquire_blocking());
    server.restart();
    // The new server has neither the scripts nor the state.
    let fresh = eventually("the pool to use the new server", || {
        lock(&pool).acquire_blocking().ok()
    });
    assert!(locked(Ok(fresh)).fence() > lease.fence());
    assert!(lease.release_blocking().is_err());
}
