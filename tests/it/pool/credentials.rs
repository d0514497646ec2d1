//! A user and a password that a function returns at each login.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dspinlock::{Pool, PoolBuilder, RedisParameters};
use dspinlock_testkit::{Redis, eventually};

use crate::common::lock::{lock, locked};
use crate::common::logs;

/// The current credentials, and how often they were asked for.
#[derive(Clone, Default)]
struct Tokens(Arc<(Mutex<(String, String)>, AtomicUsize)>);

impl Tokens {
    fn new(user: &str, password: &str) -> Self {
        let tokens = Self::default();
        tokens.set(user, password);
        tokens
    }

    fn set(&self, user: &str, password: &str) {
        *self.0.0.lock().unwrap() = (user.into(), password.into());
    }

    fn asked(&self) -> usize {
        self.0.1.load(Ordering::SeqCst)
    }

    fn pool(&self, builder: PoolBuilder) -> Pool {
        let tokens = self.clone();
        let of_now = move || {
            tokens.0.1.fetch_add(1, Ordering::SeqCst);
            tokens.0.0.lock().unwrap().clone()
        };
        builder.credentials(of_now).open().unwrap()
    }
}

/// Sets the only password of the user `app`, and closes its connections.
fn rotate(server: &Redis, password: &str) {
    let password = format!(">{password}");
    server.raw(&[
        "ACL",
        "SETUSER",
        "app",
        "on",
        "resetpass",
        &password,
        "~*",
        "&*",
        "+@all",
    ]);
    server.raw(&["CLIENT", "KILL", "USER", "app"]);
}

#[test]
fn a_token_that_rotates_is_used_at_the_next_login() {
    logs::capture();
    let server = Redis::start();
    server.raw(&["ACL", "SETUSER", "default", "-@all", "+client", "+acl", "+info"]);
    for url in [server.url(), format!("{}?protocol=2", server.url())] {
        rotate(&server, "secret-1");
        let tokens = Tokens::new("app", "secret-1");
        let pool = tokens.pool(Pool::builder(&url));
        let lease = locked(lock(&pool).lease(Duration::from_secs(3)).acquire_blocking());
        let before = tokens.asked();
        assert!(before >= 1);
        for password in ["secret-2", "secret-3"] {
            tokens.set("app", password);
            rotate(&server, password);
            // The connections for steps and for renewals log in anew.
            assert!(lock(&pool).try_acquire_blocking().unwrap().is_none());
            let expiring = lease.remaining();
            eventually("a renewal", || (lease.remaining() > expiring).then_some(()));
        }
        assert!(tokens.asked() > before);
        // The token of an open connection is not needed any more.
        let asked = tokens.asked();
        tokens.set("app", "wrong secret");
        assert!(lock(&pool).try_acquire_blocking().unwrap().is_none());
        assert_eq!(tokens.asked(), asked);
        lease.give_up_blocking().unwrap();
    }
    assert!(!logs::leaks(None), "{:?}", logs::lines());
}

#[test]
fn a_wrong_token_fails_the_login_and_the_next_one_is_asked_for() {
    let server = Redis::start();
    rotate(&server, "secret-right");
    let tokens = Tokens::new("app", "secret-wrong");
    let pool = tokens.pool(Pool::builder(&server.url()));
    let error = lock(&pool).acquire_blocking().unwrap_err();
    logs::assert_error(&error, "RedisNotInitialized");
    assert!(error.to_string().contains("WRONGPASS"), "{error}");
    tokens.set("app", "secret-right");
    drop(eventually("the login with the right token", || {
        lock(&pool).acquire_blocking().ok()
    }));
}

#[test]
fn a_panic_of_the_function_is_an_error_of_the_login() {
    logs::capture();
    let server = Redis::start();
    let panics = Arc::new(AtomicBool::new(true));
    let asked = panics.clone();
    let pool = Pool::builder(&server.url())
        .credentials(move || {
            assert!(!asked.load(Ordering::SeqCst), "requested: secret");
            ("default".into(), String::new())
        })
        .open()
        .unwrap();
    for _ in 0..2 {
        let error = lock(&pool).acquire_blocking().unwrap_err();
        logs::assert_error(&error, "RedisNotInitialized");
        assert!(
            error.to_string().contains("`PoolBuilder::credentials` panicked"),
            "{error}"
        );
    }
    panics.store(false, Ordering::SeqCst);
    drop(eventually("a login", || lock(&pool).acquire_blocking().ok()));
}

#[test]
fn credentials_replace_those_of_the_url_and_an_empty_user_is_the_password_alone() {
    let server = Redis::with_args(&["--requirepass", "secret-right"]);
    let (host, port) = ("127.0.0.1", server.port());
    for user in ["", "default"] {
        let tokens = Tokens::new(user, "secret-right");
        let wrong = RedisParameters::new()
            .redis_host(host)
            .port(port)
            .rdb(3)
            .username("nobody")
            .password("secret-wrong");
        for builder in [
            Pool::builder(&format!("redis://nobody:secret-wrong@{host}:{port}/3")),
            PoolBuilder::from(wrong),
        ] {
            let pool = tokens.pool(builder);
            let lease = locked(lock(&pool).acquire_blocking());
            let used = format!("{:?}", server.raw(&["INFO", "keyspace"]));
            assert!(used.contains("db3:keys=1"), "{used}");
            lease.give_up_blocking().unwrap();
        }
    }
}

#[test]
fn the_embedded_store_does_not_ask_for_a_login() {
    let folder = tempfile::tempdir().unwrap();
    for url in [
        "sqlite::memory:".into(),
        format!("sqlite:{}/locks.db", folder.path().display()),
    ] {
        let tokens = Tokens::new("app", "secret");
        let pool = tokens.pool(Pool::builder(&url));
        drop(locked(lock(&pool).acquire_blocking()));
        assert_eq!(tokens.asked(), 0, "{url}");
    }
}

#[test]
fn a_builder_shows_no_credentials() {
    let builder = Pool::builder("redis://localhost").credentials(|| ("app".into(), "secret".into()));
    assert_eq!(format!("{builder:?}"), "PoolBuilder { .. }");
}
